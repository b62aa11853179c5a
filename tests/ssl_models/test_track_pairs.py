"""Two times of a track, and the squares about them."""

from __future__ import annotations

import pytest
import torch

from ssl_models.boxes import there
from ssl_models.views.track_pairs import random_track, squares_about, two_times


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("apart", "allowed"),
    [(0.0, {1, 2, 3, 4}), (0.5, {2, 3, 4}), (0.75, {3, 4}), (1.0, {4})],
)
def test_two_times_are_as_far_apart_as_asked_and_every_pair_occurs(apart: float, allowed: set[int]) -> None:
    times = two_times(torch.ones(4000, 5, dtype=torch.bool), generator(), apart)
    pairs = {(first, second) for first, second in times.tolist()}
    assert pairs == {(first, first + gap) for gap in allowed for first in range(5 - gap)}
    gaps = (times[:, 1] - times[:, 0]).bincount(minlength=5)
    for gap in allowed:
        assert int(gaps[gap]) == pytest.approx(4000 / len(allowed), rel=0.1)


def test_only_frames_in_which_a_track_is_followed_are_taken() -> None:
    followed = torch.tensor([[False, True, False, True, True, False]]).repeat(500, 1)
    times = two_times(followed, generator(), 0.0)
    assert {tuple(pair) for pair in times.tolist()} == {(1, 3), (3, 4), (1, 4)}
    assert two_times(torch.zeros(3, 6, dtype=torch.bool), generator(), 1.0).max() < 6


def test_a_track_that_is_followed_twice_is_drawn_evenly() -> None:
    tracks = torch.zeros(3000, 4, 3, 4)
    tracks[:, 1, :2, 2:] = 5  # two frames
    tracks[:, 2, 1, 2:] = 6  # one
    tracks[:, 3, :, 2:] = 7  # three
    tracks[0] = 0
    boxes, followed, counts = random_track(tracks, generator())
    assert not counts[0]
    assert counts[1:].all()
    widths = boxes[1:, 0, 2]
    assert set(widths.tolist()) == {5.0, 7.0}
    assert float((widths == 5).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(followed[1:].sum(1), torch.where(widths == 5, 2, 3))
    assert torch.equal(there(tracks)[1].sum(1), torch.tensor([0, 2, 1, 3]))


def test_a_square_has_the_box_in_its_middle() -> None:
    boxes = torch.tensor([[[8.0, 10, 16, 14], [20, 4, 24, 8]]])
    exact = squares_about(boxes, generator(), 32, 40, context=1.0, jitter=0.0, flip=0.0)
    assert exact[0].tolist() == [[8, 8, 8, 8], [4, 20, 4, 4]]
    wide = squares_about(boxes, generator(), 32, 40, context=2.0, jitter=0.0, flip=0.0)
    assert wide[0].tolist() == [[4, 4, 16, 16], [2, 18, 8, 8]]
    flipped = squares_about(boxes, generator(), 32, 40, context=1.0, jitter=0.0, flip=1.0)
    assert flipped[0].tolist() == [[8, 16, 8, -8], [4, 24, 4, -4]]


def test_squares_stay_in_the_frame_and_move_by_no_more_than_the_jitter() -> None:
    low = torch.rand(2000, 2, 2, generator=generator()) * torch.tensor([30.0, 22.0])
    boxes = torch.cat([low, low + 10], 2)
    top, left, tall, wide = squares_about(boxes, generator(), 32, 40, context=1.0, jitter=0.2, flip=0.0).unbind(2)
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + tall).max() <= 32
    assert (left + wide).max() <= 40
    assert torch.equal(tall, wide)
    assert 8 <= tall.min() < 8.2
    assert 11.8 < tall.max() <= 12
    moved = (left + wide / 2 - boxes[..., [0, 2]].mean(2)).abs()
    assert 1.8 < moved.max() <= 3  # 2 of the jitter, and 1 where a larger square is kept in the frame
    large = squares_about(boxes, generator(), 32, 40, context=9.0, jitter=0.0, flip=0.0)
    assert torch.equal(large[..., 2:], torch.full((2000, 2, 2), 32.0))
