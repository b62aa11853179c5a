"""Kinds of data: one line of params.yaml says which kind is worked on, and only that kind's stages exist."""

import shutil
from pathlib import Path

import pytest
import yaml

from tasks.project.project import Project
from tasks.settings import data_kinds, own_data
from tasks.settings.edit import select_data, selecting
from tasks.settings.own_data import Options
from tasks.settings.params import check_parameters, load
from tasks.settings.recognised import reader_of
from tasks.settings.schema import ParameterError
from tasks.staleness import pipeline
from tasks.studies import study
from tasks.sweeps import sweep

ROOT = Path(__file__).parents[2]
DATASETS, KINDS = map(yaml.safe_load((ROOT / "params.yaml").read_text()).get, ("datasets", "kinds"))
OTHERS = sorted(set(KINDS) - {data_kinds.PICTURES})


@pytest.fixture
def project(tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("ssl_models", "sweeps", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_the_blocks_of_every_kind_can_be_used(project, kind):
    found = data_kinds.with_kind(load(project), kind, "here")
    check_parameters(found, project)
    assert found["kind"] == kind == data_kinds.of_block(found["data"])


def data_of(kind):
    """The first data set of a kind."""
    return next(name for name, block in DATASETS.items() if data_kinds.of_block(block) == kind)


@pytest.mark.parametrize("kind", OTHERS)
def test_selecting_data_of_another_kind_changes_three_lines_and_back(project, kind, capsys):
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("runs: small", "runs: predictive"))
    before = path.read_text().splitlines()
    select_data(project, data_of(kind))
    after = path.read_text().splitlines()
    changed = [line.partition("  #")[0] for line, old in zip(after, before, strict=True) if line != old]
    first = next(iter(KINDS[kind]["sets"]))
    assert changed == [f"data: *{data_of(kind)}", f"<<: *of_{kind}", f"runs: {first}"]
    assert f"'predictive' is no set of {kind}; '{first}' is selected" in capsys.readouterr().out
    assert load(project)["pretrain"] == KINDS[kind]["pretrain"]
    select_data(project, "world")
    assert load(project)["pretrain"] == KINDS["pictures"]["pretrain"]


def test_a_set_of_the_new_kind_can_be_asked_for_in_the_same_command(project):
    with selecting(project, "speech", "all", "quick") as name:
        found = load(project)
    assert (name, found["kind"], found["runs"], found["protocols"]) == ("speech", "speech", "all", "quick")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_stages_of_the_kind_that_is_worked_on_exist(project, kind):
    if kind != data_kinds.PICTURES:
        select_data(project, data_of(kind))
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    stages = pipeline.resolved(project)
    trained = {name.partition("@")[2] for name in stages if name.startswith(("pretrain@", "clusterfit@"))}
    assert trained == {*KINDS[kind]["pretrain"], *KINDS[kind]["clusterfit"]}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("data: *world", "data: *speech", r"of the kind 'speech', and the blocks merged in are those of 'pictures'"),
        ("<<: *of_pictures", "<<: *of_text", r"of the kind 'pictures', and the blocks merged in are those of 'text'"),
        ("<<: *of_pictures", "", r"is missing|no kind is merged in"),
        ("    kind: speech", "    kind: sounds", r"kinds\.speech: its 'kind' is 'sounds'; it must be 'speech'"),
        ("  text: &of_text\n", "  text: &of_text\n    optimiser: {}\n", r"kinds\.text: unknown block 'optimiser'"),
    ],
)
def test_kinds_that_do_not_fit_are_refused(project, old, new, said):
    path = project / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ParameterError, match=said):
        load(project)


def test_a_sweep_of_another_kind_than_the_one_worked_on_has_its_data_and_runs(project):
    found = sweep.build(
        Project(project),
        "mine",
        {"kind": "speech", "seeds": [0], "targets": ["random-knn"], "base": {"data.train": 64}},
    )
    assert (found.parameters["data"]["name"], found.parameters["data"]["train"]) == ("speech", 64)
    assert found.parameters["encoder"] == KINDS["speech"]["encoder"]
    with pytest.raises(ParameterError, match=r"unknown kind of data 'speach'. Did you mean 'speech'"):
        sweep.build(Project(project), "mine", {"kind": "speach", "seeds": [0], "targets": ["random-knn"]})


@pytest.mark.parametrize("data", ["world", "speech", "text"])
def test_every_study_can_be_read_whatever_is_worked_on(project, data):
    select_data(project, data)
    for name in study.known(Project(project)):
        assert study.load(Project(project), name).name == name


@pytest.mark.parametrize(
    ("files", "reader"),
    [
        (["a/x.png", "b/y.JPG", "notes.txt"], "folder"),
        (["a/x.wav", "a/y.flac", "cover.png"], "sound_folder"),
        (["a/x.mp4", "a/y.MOV", "b/z.webm", "a/x.wav", "cover.png"], "video_folder"),
        (["a.avi", "a.mpg"], "video_folder"),
        (["a.wav", "b.ogg", "c.m4a", "d.mp4"], "sound_folder"),
        (["bear/00000.jpg", "bear/00001.jpg"], "folder"),
        (["one.txt", "two.txt.gz"], "text"),
        ([".hidden.wav"], "folder"),
        ([], "folder"),
    ],
)
def test_a_folder_is_recognised_by_most_of_its_files(tmp_path, files, reader):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert reader_of(tmp_path) == reader


def test_a_file_of_text_is_data_and_another_file_is_refused(project, tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    (place / "My corpus.txt.gz").write_text("x")
    (place / "picture.png").write_text("x")
    assert select_data(project, str(place / "My corpus.txt.gz")) == "my_corpus"
    found = load(project)
    assert (found["data"]["reader"], found["kind"]) == ("text", "text")
    with pytest.raises(ParameterError, match="no reader reads such a file"):
        select_data(project, str(place / "picture.png"))


def test_sound_goes_with_a_folder_of_videos(project, tmp_path):
    for name in ("clips/a.mp4", "clips/b.mov", "photos/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    sound = Options(sound=True)
    assert select_data(project, str(tmp_path / "clips")) == "clips"
    assert load(project)["kind"] == "video"
    assert select_data(project, str(tmp_path / "clips"), options=sound) == "clips_2"
    found = load(project)
    assert (found["data"]["reader"], found["kind"]) == ("video_sound_folder", "audiovisual")
    assert select_data(project, str(tmp_path / "clips")) == "clips", "its block is found again"
    assert select_data(project, str(tmp_path / "clips"), options=sound) == "clips_2"
    with pytest.raises(ParameterError, match=r"--sound goes with a folder of videos, and .*photos is none"):
        select_data(project, str(tmp_path / "photos"), options=sound)
    with pytest.raises(ParameterError, match="--sound goes with the folder of a new data set"):
        select_data(project, "clips", options=sound)
    with pytest.raises(ParameterError, match="--sound goes with the folder of a new data set"):
        select_data(project, None, options=sound)


def test_a_folder_that_params_yaml_knows_keeps_its_reader(project, tmp_path):
    """Files of video that hold sound alone, which somebody has read as sound."""
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "a.mp4").write_text("x")
    path = project / "params.yaml"
    source = own_data.relative(project, tmp_path.resolve() / "talks")
    block = f"  talks: &talks {{name: talks, reader: sound_folder, source: {source}}}\n"
    path.write_text(path.read_text().replace("datasets:\n", "datasets:\n" + block, 1))
    assert select_data(project, str(tmp_path / "talks")) == "talks"
    assert load(project)["data"]["reader"] == "sound_folder"
