"""Files that no stage has written are not removed, wherever they lie; files of stages are replaced without a word."""

import json
import os
import shutil
from functools import partial

import pytest

from tasks.project.project import Project
from tasks.settings.edit import select_data
from tasks.settings.schema import ParameterError
from tasks.settings.source_places import check_source
from tasks.staleness import outputs, pipeline
from tasks.staleness.dvc_errors import StageFailed
from tasks.staleness.reproduce import reproduce
from tests.tasks import tiny
from tests.tasks.conftest import ROOT


@pytest.fixture(params=["fork", "command"])
def environment(request):
    """Both ways of running a stage: DVC in a fork of the fork server, and DVC's own command."""
    return request.getfixturevalue("fork") if request.param == "fork" else {}


def run(root, name, environment, **keywords):
    return reproduce(tiny.project(root), name, environment=environment, **keywords)


def test_a_file_in_the_way_of_a_first_run_stays_and_is_named(tmp_path, environment):
    root = tiny.make(tmp_path / "project")
    (root / "copy.txt").write_text("precious\n")
    with pytest.raises(StageFailed, match="prepare") as refused:
        run(root, "prepare", environment)
    assert refused.value.final
    assert "copy.txt is where this stage writes" in refused.value.tail
    assert (root / "copy.txt").read_text() == "precious\n"
    assert not (root / "dvc.lock").exists()
    (root / "copy.txt").rename(root / "moved.txt")
    assert run(root, "prepare", environment) == "ran"


def test_what_a_stage_has_written_is_replaced(tiny_copy, environment):
    (tiny_copy / "input.txt").write_text("other\n")
    assert run(tiny_copy, "prepare", environment) == "ran"
    assert (tiny_copy / "copy.txt").read_text() == "other\n"
    (tiny_copy / "copy.txt").unlink()
    (tiny_copy / "copy.txt").write_text("damaged\n")
    assert run(tiny_copy, "prepare", environment) in ("ran", "restored")
    assert (tiny_copy / "copy.txt").read_text() == "other\n"


def folder_stage(root):
    """A stage whose output is a folder of two files."""
    stages = {"make": {"cmd": "mkdir -p made && echo 1 > made/a && cat input.txt > made/b", "outs": ["made"]}}
    stages["make"]["deps"] = ["input.txt"]
    (root / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    return tiny.project(root), pipeline.stage(root, "make")


def test_a_file_added_to_an_output_is_foreign_and_one_that_the_cache_holds_is_not(tmp_path, fork):
    root = tiny.make(tmp_path / "project")
    project, stage = folder_stage(root)
    assert reproduce(project, "make", environment=fork) == "ran"
    outputs.refuse_foreign(project, stage)
    (root / "made" / "labels.csv").write_text("mine")
    assert outputs.foreign(project, "made", "make") == ["made/labels.csv"]
    with pytest.raises(StageFailed) as refused:
        reproduce(project, "make", environment=fork, force=True)
    assert "made/labels.csv" in refused.value.tail
    assert (root / "made" / "labels.csv").read_text() == "mine"
    (root / "made" / "labels.csv").unlink()
    shutil.copy(root / "made" / "a", root / "made" / "copy_of_a")
    assert outputs.foreign(project, "made", "make") == []
    shutil.rmtree(project.state / "outputs", ignore_errors=True)  # a project that was cloned and pulled
    assert outputs.foreign(project, "made", "make") == []


def test_what_a_killed_stage_left_is_its_own(tmp_path):
    root = tiny.make(tmp_path / "project")
    project, stage = folder_stage(root)
    outputs.claim(project, stage)
    (root / "made").mkdir()
    (root / "made" / "half").write_text("1")
    outputs.refuse_foreign(project, stage)
    outputs.settle(project, stage)
    (root / "made" / "other").write_text("2")
    with pytest.raises(outputs.ForeignFilesError, match="made/other"):
        outputs.refuse_foreign(project, stage)


def test_a_new_data_set_takes_a_name_under_which_nothing_lies(tmp_path):
    root, photos = tmp_path / "project", tmp_path / "photos"
    photos.mkdir()
    (root / "data" / "photos").mkdir(parents=True)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "ssl_models" / "datasets", root / "ssl_models" / "datasets")
    occupied = partial(outputs.occupied, Project(root))
    assert not occupied("photos")
    (root / "data" / "photos" / "my_labels.csv").write_text("precious")
    assert select_data(root, str(photos), occupied) == "photos_2"
    assert select_data(root, str(photos), occupied) == "photos_2"


@pytest.mark.parametrize("source", ["data/photos", "runs", "metrics/x/y", "link", ".", ".."])
def test_a_source_where_stages_write_is_refused(tmp_path, source):
    root = tmp_path / "project"
    (root / "data" / "photos").mkdir(parents=True)
    (root / "link").symlink_to(root / "data" / "photos")
    with pytest.raises(ParameterError, match=r"datasets\.photos: the source"):
        check_source(root, source, "datasets.photos")
    check_source(root, "photos", "datasets.photos")
    check_source(root, str(tmp_path / "data"), "datasets.photos")


def test_a_source_that_is_an_output_s_folder_by_another_spelling_is_refused(tmp_path, monkeypatch):
    """On a file system that ignores case `Data` is `data`; here they are made so."""
    (tmp_path / "Data" / "Photos").mkdir(parents=True)
    check_source(tmp_path, "Data/Photos", "datasets.photos")
    same = os.path.samefile
    monkeypatch.setattr(os.path, "samefile", lambda one, two: str(one).lower() == str(two).lower() or same(one, two))
    with pytest.raises(ParameterError, match="lies in data/"):
        check_source(tmp_path, "Data/Photos", "datasets.photos")
