"""Solarisation, inversion, gamma, and the largest area of a crop: by hand, by sample, and nothing where not asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import random_boxes, random_crop_flip
from ssl_models.views.photometric import colour_jitter, random_gamma, random_inversion, random_solarise

torch.set_num_threads(1)

Change = Callable[[Tensor, Generator, float], Tensor]
CHANGES = [random_solarise, random_inversion, random_gamma]
SETTINGS = {"solarise": random_solarise, "invert": random_inversion, "gamma": random_gamma}
STILL = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def row(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 1, 1, -1)


# ---- values


def test_solarising_inverts_a_half_and_above() -> None:
    found = random_solarise(row(0.0, 0.2, 0.4375, 0.5, 0.75, 1.0), seeded(), 1.0)
    torch.testing.assert_close(found, row(0.0, 0.2, 0.4375, 0.5, 0.25, 0.0))
    assert found.max() <= 0.5


def test_inversion_turns_light_into_dark_and_twice_is_nothing() -> None:
    values = row(0.0, 0.25, 0.5, 1.0)
    once = random_inversion(values, seeded(), 1.0)
    assert torch.equal(once, row(1.0, 0.75, 0.5, 0.0))
    assert torch.equal(random_inversion(once, seeded(), 1.0), values)


def test_gamma_is_one_power_for_a_whole_sample_whose_logarithm_is_uniform() -> None:
    values = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1).expand(4000, 3, 1, 1)
    found = random_gamma(values, seeded(), 1.0)
    powers = found.log() / values.log()
    torch.testing.assert_close(powers, powers[:, :1].expand_as(powers), rtol=1e-3, atol=1e-4)
    logarithm = powers[:, 1].log()
    assert logarithm.abs().max() <= 1 + 1e-4
    assert logarithm.mean() == pytest.approx(0, abs=0.04)
    assert logarithm.std() == pytest.approx(1 / math.sqrt(3), abs=0.02)


def test_gamma_keeps_black_white_and_the_order_of_values() -> None:
    steps = torch.linspace(0, 1, 9).view(1, 1, 1, 9).expand(20, 1, 1, 9)
    found = random_gamma(steps, seeded(), 1.0)
    assert (found[..., 0] == 0).all()
    assert (found[..., -1] == 1).all()
    assert (found.diff(dim=3) > 0).all()


def test_gamma_of_a_value_just_below_0_is_a_number() -> None:
    assert random_gamma(row(-1e-7, 0.5), seeded(), 1.0).isfinite().all()


# ---- which samples


@pytest.mark.parametrize("change", CHANGES)
def test_whole_samples_are_changed_and_as_many_as_the_probability_says(change: Change) -> None:
    pictures = torch.rand(2000, 2, 2, 2, generator=seeded(3)) * 0.4 + 0.55
    touched = change(pictures, seeded(), 0.3) != pictures
    assert torch.equal(touched.flatten(1).any(1), touched.flatten(1).all(1))
    assert touched[:, 0, 0, 0].float().mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("change", CHANGES)
def test_probability_0_changes_nothing_and_1_changes_all(change: Change) -> None:
    pictures = torch.rand(50, 3, 2, 2, generator=seeded(3)) * 0.4 + 0.55
    assert torch.equal(change(pictures, seeded(), 0.0), pictures)
    assert (change(pictures, seeded(), 1.0) != pictures).all()


@pytest.mark.parametrize("change", CHANGES)
def test_the_seed_decides_and_a_picture_that_is_given_stays_as_it_is(change: Change) -> None:
    pictures = torch.rand(40, 3, 2, 2, generator=seeded(3))
    before = pictures.clone()
    first, again, other = (change(pictures, seeded(seed), 0.5) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(pictures, before)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_no_probability_is_refused(change: Change, probability: float) -> None:
    with pytest.raises(ValueError, match=rf"probability is {probability}; it must lie in \[0, 1\]"):
        change(torch.rand(2, 3, 4, 4), seeded(), probability)


# ---- as settings of an augmentation


def test_tones_that_are_not_asked_for_draw_nothing() -> None:
    pictures = torch.rand(6, 3, 8, 8, generator=seeded(3))
    ours, plain = seeded(5), seeded(5)
    found = Augmentation(solarise=0.0, invert=0.0, gamma=0.0, largest_crop=1.0)(pictures, ours)
    expected = random_crop_flip(pictures, plain, smallest=0.2)
    assert torch.equal(found, colour_jitter(expected, plain, strength=0.5, hue=0.1, grey=0.2))
    assert torch.equal(ours.get_state(), plain.get_state())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_the_change_after_all_others(name: str) -> None:
    pictures = torch.rand(30, 3, 8, 8, generator=seeded(3))
    generator = seeded(5)
    before = Augmentation()(pictures, generator)
    expected = SETTINGS[name](before, generator, 0.5)
    found = Augmentation(**{name: 0.5})(pictures, seeded(5))
    assert torch.equal(found, expected)
    assert not torch.equal(found, before)


def test_inversion_follows_solarisation() -> None:
    """The other way round, 0.25 would be 0.75 first, and 0.25 in the end."""
    pictures = torch.full((4, 3, 8, 8), 0.25)
    found = Augmentation(**STILL, solarise=1.0, invert=1.0)(pictures, seeded())
    torch.testing.assert_close(found, torch.full_like(pictures, 0.75))


@pytest.mark.parametrize("name", [*SETTINGS, "largest_crop"])
@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_a_setting_out_of_range_is_refused(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"{name} is {value}; it must lie in \[0, 1\]"):
        Augmentation(**settings)


# ---- the largest crop


def test_the_area_of_boxes_ends_at_the_largest() -> None:
    boxes = random_boxes(seeded(), 4000, 48, 32, smallest=0.1, largest=0.4, flip=0.5)[:, 0]
    area = boxes[:, 2] * boxes[:, 3].abs() / (48 * 32)
    assert area.min() == pytest.approx(0.1, abs=0.005)
    assert area.max() == pytest.approx(0.4, abs=0.005)
    assert area.mean() == pytest.approx(0.25, abs=0.01)
    aspect = (boxes[:, 3].abs() / 32) / (boxes[:, 2] / 48)
    assert aspect.min() == pytest.approx(3 / 4, abs=0.01)
    assert aspect.max() == pytest.approx(4 / 3, abs=0.01)


def test_equal_bounds_give_one_area() -> None:
    boxes = random_boxes(seeded(), 100, 48, 32, smallest=0.3, largest=0.3, flip=0.0)[:, 0]
    torch.testing.assert_close(boxes[:, 2] * boxes[:, 3], torch.full((100,), 0.3 * 48 * 32))


def test_a_largest_crop_below_the_smallest_is_refused() -> None:
    augment = Augmentation(smallest_crop=0.5, largest_crop=0.4)
    with pytest.raises(ValueError, match=r"largest crop has an area of 0\.4, which is below the smallest, 0\.5"):
        augment(torch.rand(2, 3, 8, 8), seeded())
