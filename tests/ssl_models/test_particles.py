"""Particles: where they begin, what is kept of them over a training, and pictures that show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.samplers.particles import TIMES, Particles, drawn, starting
from tests.ssl_models import densities

torch.set_num_threads(1)
BINARY, REALS = densities.known("binary"), densities.known("reals")


def flat(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(1)


def test_they_begin_evenly_or_as_the_data_and_always_the_same() -> None:
    binary = starting(BINARY, 4000, densities.UNITS, True)
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    assert float(binary.mean()) == pytest.approx(0.5, abs=0.02)
    reals = starting({"mean": [5.0, 0.0], "deviation": [0.1, 2.0]}, 4000, 2, False)
    torch.testing.assert_close(reals.mean(0), torch.tensor([5.0, 0.0]), atol=0.15, rtol=0)
    torch.testing.assert_close(reals.std(0), torch.tensor([0.1, 2.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(starting({}, 4000, 2, False).std(0), torch.ones(2), atol=0.05, rtol=0)
    state = torch.random.get_rng_state()
    assert torch.equal(starting(BINARY, 9, 4, True), starting(BINARY, 9, 4, True))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_they_are_kept_after_the_first_step_at_the_end_and_at_even_shares() -> None:
    particles = Particles(torch.zeros(3, 2))
    for step in range(1, 101):
        particles.move(torch.full((3, 2), float(step)), step / 100)
    marks = [round(100 * float(share)) for share in particles.shares]
    assert marks == [1, 15, 29, 43, 58, 72, 86, 100]
    assert particles.seen[:, 0, 0].tolist() == marks
    assert torch.equal(particles.now, torch.full((3, 2), 100.0))


def test_of_more_rows_the_first_are_taken_and_of_fewer_the_others_stay() -> None:
    particles = Particles(torch.zeros(3, 1))
    particles.move(torch.arange(1.0, 6.0).unsqueeze(1), 0.5)
    assert particles.now.flatten().tolist() == [1, 2, 3]
    particles.move(torch.tensor([[9.0]]), 0.6)
    assert particles.now.flatten().tolist() == [9, 2, 3]


def test_a_few_steps_fill_as_many_places() -> None:
    particles = Particles(torch.zeros(2, 1))
    for step in (1, 2):
        particles.move(torch.ones(2, 1) * step, step / 2)
    assert int((particles.shares > 0).sum()) == 2
    assert particles.seen[TIMES - 1].flatten().tolist() == [2, 2]


def moved(start: torch.Tensor, times: int = 20) -> Particles:
    particles = Particles(start)
    for step in range(1, times + 1):
        particles.move(start, step / times)
    return particles


def test_a_picture_of_points_shows_them_where_they_are() -> None:
    """All on the right: the right halves of the panels differ from those of particles on the left, as mirrored."""
    right = drawn(moved(torch.tensor([[2.0, 0.0]] * 50)), REALS, flat)
    left = drawn(moved(torch.tensor([[-2.0, 0.0]] * 50)), REALS, flat)
    assert right is not None
    assert left is not None
    assert right.dtype == np.uint8
    assert right.shape == left.shape
    white = [(picture == 255).all(2) for picture in (right, left)]
    only = white[0] & ~white[1]
    assert only.any()
    columns = np.flatnonzero(only.any(0))
    panel = right.shape[1] / 4
    assert (columns % panel > panel / 2).all()


@pytest.mark.parametrize(("known", "width"), [(REALS, 2), (BINARY, 9)])
def test_a_picture_shows_no_particle_that_no_chain_has_moved(known: dict[str, Any], width: int) -> None:
    """Where there are fewer chains than particles, the others lie where they began, which no model has drawn."""
    ends = (torch.arange(5 * width).view(5, width) % 2).float()
    pictures = []
    for start in (0.0, 1.0):
        particles = Particles(torch.full((30, width), start))
        for step in range(1, 21):
            particles.move(ends, step / 20)
        assert particles.counts.tolist() == [5] * TIMES
        pictures.append(drawn(particles, known, flat))
    assert np.array_equal(*pictures)


def test_a_picture_of_states_has_a_row_a_time() -> None:
    ones, zeros = (drawn(moved(torch.full((20, 9), value)), BINARY, flat) for value in (1.0, 0.0))
    assert ones is not None
    assert zeros is not None
    assert ones.shape == zeros.shape
    assert ones.mean() > zeros.mean() + 50  # 1 is white, as in previews


@pytest.mark.parametrize(
    ("known", "start"),
    [
        ({"binary": True}, torch.zeros(3, 9)),
        ({"binary": False}, torch.zeros(3, 2)),
        ({"binary": False, "extent": [[0, 1]]}, torch.zeros(3, 1)),
    ],
)
def test_what_cannot_be_drawn_has_no_picture(known: dict[str, Any], start: torch.Tensor) -> None:
    assert drawn(moved(start), known, flat) is None
    assert drawn(Particles(start), REALS, flat) is None  # nothing was seen yet
