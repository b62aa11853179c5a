"""Holes and noise: what was corrupted is said exactly, everything else is left alone, each sample by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.views.corruption import (
    NOISES,
    block_mask,
    centre_mask,
    gaussian_noise,
    masking_noise,
    mean_colour,
    require_hole,
    salt_and_pepper_noise,
)

torch.set_num_threads(1)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def pictures() -> Tensor:
    return 0.1 + 0.8 * torch.rand(16, 3, 24, 32, generator=seeded(7))


def test_the_centre_mask_is_the_middle_quarter() -> None:
    mask = centre_mask(3, 16, 32, share=0.25)
    expected = torch.zeros(3, 1, 16, 32, dtype=torch.bool)
    expected[:, :, 4:12, 8:24] = True
    assert torch.equal(mask, expected)


def test_block_masks_hide_something_and_at_most_their_share_and_differ_per_sample() -> None:
    for blocks in (1, 4, 8):
        masks = block_mask(seeded(), 500, 24, 32, blocks=blocks, share=0.25)
        assert masks.shape == (500, 1, 24, 32)
        assert masks.dtype == torch.bool
        share = masks.float().mean((1, 2, 3))
        assert share.min() > 0
        assert share.max() <= 0.25
        assert len({mask.numpy().tobytes() for mask in masks}) > 400


def test_a_single_block_is_a_rectangle_of_half_to_all_of_the_longest_sides() -> None:
    masks = block_mask(seeded(), 300, 24, 32, blocks=1, share=0.25)[:, 0]
    rows, columns = masks.any(2), masks.any(1)
    assert torch.equal(masks, rows[:, :, None] & columns[:, None])
    assert set(rows.sum(1).tolist()) == set(range(6, 13))
    assert set(columns.sum(1).tolist()) == set(range(8, 17))
    for inside in (rows, columns):
        assert ((inside[:, 1:] != inside[:, :-1]).sum(1) <= 2).all()  # one piece


def test_blocks_reach_every_pixel() -> None:
    assert block_mask(seeded(), 2000, 24, 32, blocks=4, share=0.25).any(0).all()


@pytest.mark.parametrize("name", NOISES)
def test_a_noise_changes_only_what_it_says_and_is_decided_by_the_generator(name: str, pictures: Tensor) -> None:
    before = torch.random.get_rng_state()
    noisy, touched = NOISES[name](pictures, seeded(), 0.3)
    again, other = NOISES[name](pictures, seeded(), 0.3)[0], NOISES[name](pictures, seeded(1), 0.3)[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(noisy, again)
    assert not torch.equal(noisy, other)
    assert noisy.dtype == torch.float32
    assert torch.equal(noisy != pictures, touched)  # no picture holds the values 0 or 1
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert len({float(mask.float().sum() + sample.sum()) for mask, sample in zip(touched, noisy, strict=True)}) == 16


def test_the_shares_and_values_of_each_noise(pictures: Tensor) -> None:
    masked, touched = masking_noise(pictures, seeded(), 0.3)
    assert touched.float().mean() == pytest.approx(0.3, abs=0.01)
    assert (masked[touched] == 0).all()
    salted, touched = salt_and_pepper_noise(pictures, seeded(), 0.4)
    assert touched.float().mean() == pytest.approx(0.4, abs=0.01)
    assert set(salted[touched].tolist()) == {0.0, 1.0}
    assert salted[touched].mean() == pytest.approx(0.5, abs=0.02)
    grey = torch.full_like(pictures, 0.5)
    noisy, touched = gaussian_noise(grey, seeded(), 0.1)
    assert touched.all()
    assert noisy.mean() == pytest.approx(0.5, abs=0.005)
    assert noisy.std() == pytest.approx(0.1, abs=0.005)


def test_level_zero_changes_nothing_and_level_one_corrupts_everything(pictures: Tensor) -> None:
    for noise in NOISES.values():
        assert torch.equal(noise(pictures, seeded(), 0.0)[0], pictures)
    for noise in (masking_noise, salt_and_pepper_noise):
        assert noise(pictures, seeded(), 1.0)[1].all()


def test_noise_on_maps_keeps_to_the_bounds_of_each_channel() -> None:
    maps = torch.randn(8, 4, 6, 6, generator=seeded()) * torch.tensor([1.0, 2, 5, 10]).view(1, 4, 1, 1)
    low, high = maps.amin((0, 2, 3), keepdim=True), maps.amax((0, 2, 3), keepdim=True)
    noisy, _ = gaussian_noise(maps, seeded(), 0.2, low, high)
    assert (noisy >= low).all()
    assert (noisy <= high).all()
    salted, touched = salt_and_pepper_noise(maps, seeded(), 0.5, low, high)
    assert ((salted == low) | (salted == high))[touched].all()
    masked, touched = masking_noise(maps, seeded(), 0.5, low, high)
    assert torch.equal(masked, torch.where(touched, low, maps))


def test_the_mean_colour_is_that_of_what_is_seen() -> None:
    picture = torch.tensor([1.0, 2.0, 3.0, 10.0]).view(1, 1, 2, 2)
    assert float(mean_colour(picture)) == 4
    hidden = torch.tensor([0, 0, 0, 1]).view(1, 1, 2, 2)
    assert float(mean_colour(picture, hidden)) == 2


def test_what_cannot_be_drawn_is_refused(pictures: Tensor) -> None:
    with pytest.raises(ValueError, match=r"share is 0.0; it must lie between 0 and 1"):
        centre_mask(1, 8, 8, share=0.0)
    with pytest.raises(ValueError, match=r"hidden is 1.0"):
        require_hole(8, 8, share=1.0, name="hidden")
    with pytest.raises(ValueError, match=r"blocks is 64; .* is under a pixel"):
        block_mask(seeded(), 1, 8, 8, blocks=64, share=0.25)
    with pytest.raises(ValueError, match="blocks is 0"):
        block_mask(seeded(), 1, 8, 8, blocks=0, share=0.25)
    with pytest.raises(ValueError, match=r"level is 1.5"):
        masking_noise(pictures, seeded(), 1.5)
