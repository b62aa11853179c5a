"""Groups of data sets, and data sets whose block says their kind."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tasks.settings import groups
from tasks.settings.edit import select_data
from tasks.settings.params import load
from tasks.settings.schema import ParameterError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("ssl_models", "sweeps", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def changed(project, **top):
    path = project / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | top, sort_keys=False))
    return project


def test_a_group_stands_for_its_data_sets_in_order_and_another_name_for_none():
    parameters = {"groups": {"both": ["text", "world"]}}
    assert groups.members(parameters, "both") == ["text", "world"]
    assert groups.members(parameters, "world") == groups.members({}, "both") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "'groups' must be a mapping"),
        ({"mine": []}, r"groups\.mine must be a name, with a list of at least one"),
        ({"mine": "world"}, r"groups\.mine must be a name, with a list"),
        ({"no such name": ["world"]}, "must be a name, with"),
        ({"world": ["text"]}, r"groups\.world: a data set has this name"),
        ({"mine": ["wurld"]}, r"groups\.mine: unknown data set .wurld.. Did you mean 'world'"),
        ({"mine": ["world", "world"]}, r"groups\.mine: .world. stands in it twice"),
    ],
)
def test_groups_that_cannot_be_used_are_refused(project, given, said):
    with pytest.raises(ParameterError, match=said):
        load(changed(project, groups=given))


def test_a_data_set_may_say_its_kind(project):
    """The same reader's data are worked on in another way, under a name of its own."""
    path = project / "params.yaml"
    text = path.read_text()
    text = text.replace(
        "datasets:\n",
        "datasets:\n  mosaic: &mosaic {name: mosaic, kind: patterns, reader: world, source: ssl_models}\n",
        1,
    )
    text = text.replace(
        "schedules:  #",
        "  patterns: &of_patterns {<<: *of_pictures, kind: patterns, encoder: {name: resnet, depth: 10}}\n"
        "schedules:  #",
    )
    path.write_text(text)
    select_data(project, "mosaic")
    found = load(project)
    assert (found["kind"], found["encoder"]["depth"], found["data"]["kind"]) == ("patterns", 10, "patterns")
    assert found["pretrain"] == found["kinds"]["pictures"]["pretrain"]
    path.write_text(path.read_text().replace("kind: patterns, reader: world", "kind: paterns, reader: world"))
    with pytest.raises(
        ParameterError, match=r"datasets\.mosaic\.kind: unknown kind of data .?paterns.?. Did you mean 'patterns'"
    ):
        load(project)


def test_a_table_of_numbers_is_worked_on_as_what_it_holds(project, tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    draws = np.random.default_rng(0)
    np.save(place / "real.npy", draws.normal(size=(20, 3)))
    np.save(place / "bits.npy", draws.integers(0, 2, size=(20, 4)))
    (place / "broken.npy").write_bytes(b"no table")
    for name, kind in (("real", "density"), ("bits", "strokes"), ("broken", "density")):
        assert select_data(project, str(place / f"{name}.npy")) == name
        found = load(project)
        assert (found["data"]["reader"], found["kind"]) == ("vectors", kind)
        assert ("kind" in found["data"]) == (name == "bits")
