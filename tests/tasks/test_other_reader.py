"""A data set whose reader reads by another one: checked, located, hashed and read as any other."""

import shutil
from pathlib import Path

import pytest
import yaml

from tasks.artifacts import readers as loading
from tasks.artifacts.dataset import Stored
from tasks.checks.dry_run import measure
from tasks.project.project import Project
from tasks.settings import readers
from tasks.settings.params import ParameterError, check_parameters
from tasks.staleness import code_hash, source_files
from tests.tasks.conftest import ROOT

GOOD = yaml.safe_load((ROOT / "params.yaml").read_text())
OF = {"reader": "folder", "size": 16}


def block(of=OF, source="photos", **settings):
    return {"name": "bits", "reader": "binary_pictures", "source": source, "of": of, **settings}


@pytest.fixture
def photos(tmp_path):
    """Ten pictures, and a table of their labels, in a project's folder."""
    from PIL import Image

    for number in range(10):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (24, 24), (25 * number, 0, 0)).save(path)
    rows = "\n".join(f"{number}.png,{'ab'[number % 2]}" for number in range(10))
    (tmp_path / "labels.csv").write_text(f"file,class\n{rows}\n")
    return tmp_path


def checked(settings):
    """params.yaml with such a data set, which is not the one that is worked on."""
    check_parameters({**GOOD, "datasets": {**GOOD["datasets"], "bits": settings}}, ROOT)


def test_params_yaml_may_have_such_a_data_set():
    checked(block(source="ssl_models/datasets/cifar10.py", of={"reader": "cifar10", "size": 32}, side=8))
    checked(block(of={**OF, "labels": "labels.csv"}, threshold=0.5))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (block(of=3), r"datasets.bits.of: 3 is not of type dict"),
        (block(of={"size": 16}), "datasets.bits.of: 'reader' is missing; it names the reader of the pictures"),
        (block(of={"reader": "foldr"}), "datasets.bits.of.reader: unknown reader 'foldr'.*'folder'"),
        (block(of={"reader": 3}), "datasets.bits.of.reader: unknown reader 3"),
        (block(of={"reader": "binary_pictures"}), "datasets.bits.of.reader: 'binary_pictures' reads by another one"),
        (block(of={"reader": "text"}), "datasets.bits.of.reader: 'text' reads text; name a reader of pictures"),
        (block(of={**OF, "sise": 3}), "datasets.bits.of: unknown setting 'sise'.*'size'"),
        (block(of={**OF, "size": "3"}), "datasets.bits.of.size: '3' is not of type int"),
        (block(of={**OF, "size": 0}), "datasets.bits.of.size is 0; it must be at least 1"),
        (block(of={**OF, "source": "x"}), "datasets.bits.of: 'source' is the data set's own; it stands outside"),
        (block(of={**OF, "kind": "strokes"}), "datasets.bits.of: 'kind' is the data set's own"),
        (
            block(of={"reader": "world", "train": 50_000_000, "size": 256}),
            "datasets.bits.of: 50,000,000 samples of 256 pixels a side take",
        ),
        ({**block(), "sides": 3}, "datasets.bits: unknown setting 'sides'.*'side'"),
        ({name: value for name, value in block().items() if name != "of"}, "datasets.bits: 'of' is missing"),
        ({**GOOD["datasets"]["cifar10"], "name": "bits", "of": OF}, "datasets.bits: unknown setting 'of'"),
    ],
)
def test_mistakes_in_the_block_are_told_with_the_name_of_the_data_set(settings, words):
    with pytest.raises(ParameterError, match=words):
        checked(settings)


def project_of(root, settings):
    """Whose selected data set is of this block."""
    project = Project(root)
    project.__dict__["parameters"] = {**GOOD, "data": settings}
    return project


def test_what_only_the_readers_know_is_told_before_anything_runs(photos):
    with pytest.raises(
        ParameterError, match=r"datasets.bits: side is 40 cells, and the pictures have 16 pixels a side"
    ):
        measure(project_of(photos, block(side=40)), fresh=True)
    with pytest.raises(ParameterError, match=r"datasets.bits: .*test_fraction = 2"):
        measure(project_of(photos, block(of={**OF, "test_fraction": 2.0})), fresh=True)
    found = measure(project_of(photos, block(side=4)), fresh=True)
    assert (found.samples, dict(found.shapes), found.known["grid"]) == (8, {"vectors": (16,)}, [4, 4])


def test_source_and_tables_of_both_blocks_count_from_the_project(photos):
    found = readers.settings_of(photos, block(of={**OF, "labels": "labels.csv", "group": "folder"}), "load", seed=4)
    assert found["source"] == str(photos / "photos")
    assert found["of"] == {**OF, "labels": str(photos / "labels.csv"), "group": "folder"}
    assert found["seed"] == 4


def test_it_is_read_and_stored_as_any_data_set(photos, capsys):
    settings = block(of={**OF, "labels": "labels.csv"}, side=4)
    room = photos / "data" / "bits"
    Stored(room).write(loading.load(photos, settings, 0, room))
    stored = Stored(room)
    assert stored.shapes == {"vectors": (16,)}
    assert stored.description["classes"] == ["a", "b"]
    assert stored.known["binary"] is True
    assert {path.name.partition(".")[0] for path in room.iterdir()} == {"train", "test", "dataset"}
    assert "folder" in readers.told(photos, settings, 0)
    assert readers.told(photos, settings, 0) in capsys.readouterr().out


def test_its_files_are_those_that_the_other_reader_opens(photos):
    settings = block(of={**OF, "labels": "labels.csv"})
    names = [entry.name for entry in source_files.listed(photos, settings)]
    assert names == [b"labels", *(f"{number}.png".encode() for number in range(10))]
    project = Project(photos)
    before = source_files.fingerprint(project, settings)
    (photos / "labels.csv").write_text((photos / "labels.csv").read_text().replace("9.png,b", "9.png,a"))
    assert source_files.fingerprint(project, settings) != before
    walked = block(of={"reader": "world"})
    assert len(source_files.listed(photos, walked)) == 10


def test_the_code_of_both_readers_is_in_the_hash_of_prepare(tmp_path):
    for folder in ("ssl_models", "tasks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    parameters = {**GOOD, "data": block(), "targets": {"bits": {"protocol": "linear", "data": block()}}}
    wanted = ("prepare", "prepare_target.bits")

    def hashes():
        found = code_hash.fingerprints(tmp_path, parameters, wanted=wanted)
        return found["prepare"], found["prepare_target"]["bits"]

    before = hashes()
    for file, changes in (
        ("datasets/binary_pictures.py", True),
        ("datasets/folder.py", True),
        ("datasets/_pictures/decoding.py", True),
        ("datasets/cifar10.py", False),
    ):
        path = Path(tmp_path / "ssl_models" / file)
        path.write_text(path.read_text() + "\nadded = 1\n")
        after = hashes()
        assert [one != other for one, other in zip(before, after, strict=True)] == [changes, changes]
        before = after
