"""The parts of the protocol frame_neighbours, by hand and by loops."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.datasets import world_video
from ssl_models.protocols import frame_neighbours
from ssl_models.protocols._common.pieces import Pieces, nearest_apart
from ssl_models.protocols._frame_neighbours import likeness
from tests.ssl_models import poses


def test_the_distance_of_two_poses_by_hand() -> None:
    first = np.array([[[0, 0, 1], [2, 0, 1], [9, 9, 0]]], float)
    second = np.array([[[5, 5, 1], [5, 7, 1], [0, 0, 1]]], float)
    # About their means: (-1, 0), (1, 0) and (0, -1), (0, 1), each sqrt 2 apart; the third is not seen in both.
    assert likeness.pose_distance(first, second) == pytest.approx([np.sqrt(2)])
    assert likeness.pose_distance(first, first) == [0]
    second[0, 1, 2] = 0
    assert np.isnan(likeness.pose_distance(first, second)).all(), "one point has no pose"


def test_colours_are_compared_in_the_cone() -> None:
    hue = np.array([[1, 0], [-1, 0], [0, 1]], float)
    names = likeness.BACKGROUND
    places = likeness.background(dict(zip(names, (hue, np.array([1, 1, 0.0]), np.array([1, 1, 0.5])), strict=True)))
    assert places is not None
    assert places == pytest.approx(np.array([[1, 0, 1], [-1, 0, 1], [0, 0, 0.5]]))
    assert likeness.colour_distance(places[:1], places[1:2]) == [2]
    assert likeness.background({"background_hue": hue}) is None


def test_gains_of_neighbours_over_a_random_choice_by_hand() -> None:
    distances = np.array([[1, 2, np.nan, 3], [4, 4, 4, 4], [np.nan] * 4])
    allowed = [np.array([1]), np.array([0, 3]), np.array([0])]
    gained, whole = likeness.gains(
        lambda rows, others: distances[rows, others],
        np.array([[0, 3], [2, -1], [1, 1]]),
        allowed,
        np.random.default_rng(0),
    )
    assert gained.tolist() == [[2 - 1, 2 - (1 + 3) / 2], [0, 0], [0, 0]]
    assert whole.tolist() == [[2, 2], [4, 4], [0, 0]]


@pytest.mark.parametrize("room", [2**23, 90])
def test_the_search_equals_the_naive_loop(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_models.protocols._common.pieces.ROOM", room)
    draws = np.random.default_rng(0)
    gallery, queries = (some_frames(count, draws) for count in (30, 7))
    labels = draws.integers(0, 3, 30), draws.integers(0, 3, 7)
    for alike in (None, labels):
        found = nearest_apart(gallery, queries, 4, draws, alike)
        for row, vector in enumerate(queries.vectors):
            expected: list[int] = []
            for other in np.argsort(-(gallery.vectors @ vector).numpy()):
                new = gallery.source[other] not in gallery.source[expected]
                if len(expected) < 4 and new and (alike is None or labels[0][other] == labels[1][row]):
                    expected.append(int(other))
            assert found[row].tolist() == expected + [-1] * (4 - len(expected))


def some_frames(count: int, draws: np.random.Generator) -> Pieces:
    vectors = torch.nn.functional.normalize(torch.from_numpy(draws.normal(size=(count, 5)).astype(np.float32)))
    video = np.arange(count) // 5
    return Pieces(np.arange(count), np.zeros(count, np.int64), video, vectors)


def test_the_clips_of_the_world_have_all_that_is_scored() -> None:
    world = world_video.load(seed=0, train=24, test=12, tracks="true")
    splits = {"train": world.train, "test": world.test}

    def truth(split: str, name: str) -> Any:
        own = splits[split]
        if name == "factors":
            return {key: factor.numpy() for key, factor in own.factors.items()}
        return own.truth[name].numpy()

    given = replace(
        poses.representation(lambda frames: frames.mean((2, 3)) - 0.5),
        samples=lambda split: {part: stored.numpy() for part, stored in splits[split].parts.items()},
        labels=lambda split: splits[split].labels.numpy(),
        truth=truth,
        classes=len(world.classes),
        label_sets=world.label_sets,
        files=lambda _: (),
    )
    found = frame_neighbours.evaluate(given, seed=0)
    assert [score.metric.removesuffix("_at_5") for score in found.scores][::2] == ["pose", "scene", "class", "action"]
    assert found.scores[2].value > 0.2, "mean colours tell the background"
