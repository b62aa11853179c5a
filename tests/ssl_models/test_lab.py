"""L*a*b* against published values and against the formulas with their branches, and back."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.views.lab import lab_to_rgb, rgb_to_lab

torch.set_num_threads(1)


def pixel(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)


def lab_of(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """CIE 15 and IEC 61966-2-1, written out for one colour in double precision."""
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    matrix = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    white = (0.95047, 1.0, 1.08883)
    root = []
    for row, whitest in zip(matrix, white, strict=True):
        amount = sum(weight * value for weight, value in zip(row, light, strict=True)) / whitest
        root.append(amount ** (1 / 3) if amount > (6 / 29) ** 3 else amount / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.2408, 80.0925, 67.2032)),
        ((0, 1, 0), (87.7347, -86.1827, 83.1793)),
        ((0, 0, 1), (32.2970, 79.1875, -107.8602)),
        ((0, 1, 1), (91.1132, -48.0875, -14.1312)),
        ((1, 0, 1), (60.3242, 98.2343, -60.8249)),
        ((1, 1, 0), (97.1393, -21.5537, 94.4780)),
        ((128 / 255, 128 / 255, 128 / 255), (53.585, 0, 0)),
    ],
)
def test_published_values(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    assert rgb_to_lab(pixel(*rgb)).flatten().tolist() == pytest.approx(lab, abs=2e-3)


@pytest.mark.parametrize("brightest", [1.0, 0.06])
def test_every_pixel_has_the_values_of_the_formulas_below_and_above_the_knees(brightest: float) -> None:
    images = torch.rand(3, 3, 6, 5, generator=Generator().manual_seed(0)) * brightest
    lab = rgb_to_lab(images)
    for sample in range(3):
        for row in range(6):
            for column in range(5):
                expected = lab_of(*images[sample, :, row, column].tolist())
                assert lab[sample, :, row, column].tolist() == pytest.approx(expected, abs=1e-3)


def test_greys_have_no_colour() -> None:
    grey = torch.linspace(0, 1, 256).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    lab = rgb_to_lab(grey)
    assert lab[:, 1:].abs().max() < 1e-3
    assert (lab[:, 0].flatten().diff() > 0).all()


def test_going_there_and_back_changes_nothing_within_srgb() -> None:
    step = torch.linspace(0, 1, 17)
    cube = torch.stack(torch.meshgrid(step, step, step, indexing="ij")).view(1, 3, 17, 17 * 17)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(cube)), cube, rtol=0, atol=2e-5)


def test_colours_beyond_srgb_are_clamped_into_it() -> None:
    rgb = lab_to_rgb(torch.tensor([[50.0, 120, -120], [150.0, 0, 0], [-20.0, 0, 0]]).view(3, 3, 1, 1))
    assert rgb.isfinite().all()
    assert rgb.min() == 0
    assert rgb.max() <= 1
    assert rgb[1].flatten().tolist() == pytest.approx([1, 1, 1])
    assert rgb[2].flatten().tolist() == [0, 0, 0]


def test_the_input_stays_as_it_was_and_autocast_rounds_nothing() -> None:
    images = torch.rand(2, 3, 8, 8, generator=Generator().manual_seed(0))
    kept = images.clone()
    lab = rgb_to_lab(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rgb_to_lab(images), lab)
        assert torch.equal(lab_to_rgb(lab), lab_to_rgb(lab.clone()))
    assert torch.equal(images, kept)
    assert torch.equal(lab, rgb_to_lab(kept))
