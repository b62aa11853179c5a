"""Beside a protocol's picture stands a table of the files whose samples it shows, where the names are known."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from ssl_models.protocols import embedding
from tests.ssl_models.test_every_protocol import with_everything

NUMBERS = {
    "detection": ("detections", [0, 1, 2, 3, 4, 5, 6, 7]),
    "keypoints": ("found", [0, 4, 9, 13, 18, 22, 27, 31]),
    "surface_normals": ("normals", [0, 1, 2, 3, 4, 5, 6, 7]),
}


@pytest.fixture(scope="module")
def everything():
    return with_everything(64, 32)


def with_files(representation):
    return replace(representation, files=lambda split: [f"{split}/{row}.jpg" for row in range(99)])


@pytest.mark.parametrize("name", NUMBERS)
def test_the_samples_of_a_picture_are_named_as_they_stand_in_it(everything, name):
    evaluate = import_module(f"ssl_models.protocols.{name}").evaluate
    picture, rows = NUMBERS[name]
    found = evaluate(with_files(everything), seed=0, epochs=1)
    files = [f"test/{row}.jpg" for row in rows]
    assert found.tables == {picture: {"sample": list(range(1, len(rows) + 1)), "file": files}}
    assert list(found.pictures) == [picture]


def test_a_map_has_numbered_samples_where_files_are_known_and_else_stays_as_it_is(everything):
    plain = embedding.evaluate(everything, seed=0)
    found = embedding.evaluate(with_files(everything), seed=0)
    assert plain.tables == {}
    assert set(found.pictures) - set(plain.pictures) == {"files"}
    assert all((found.pictures[name] == picture).all() for name, picture in plain.pictures.items())
    assert found.scores == plain.scores
    names = found.tables["files"]["file"]
    assert len(set(names)) == len(names) == embedding.NUMBERED
    first = np.random.default_rng(0).permutation(32)[0]
    assert names[0] == f"test/{first}.jpg"


def test_numbered_samples_lie_far_from_each_other():
    points = np.array([[0.0, 0], [1, 0], [10, 0], [4, 0], [0, 0]])
    assert embedding.spread(points, 3).tolist() == [0, 2, 3]
    assert embedding.spread(points[[0, 4]], 3).tolist() == [0]
