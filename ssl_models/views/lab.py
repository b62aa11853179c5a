"""CIE L*a*b*: separates lightness from colour; equal distances are about equally visible (CIE 15; IEC 61966-2-1).

The curves of sRGB and of L*a*b* are a power with a straight line below a knee. Here each curve is the sum of a power of
what lies above the knee and a line of what lies below it. So there is no branch, and no power of a number near zero.
Letters: B samples, H W height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

RGB_TO_XYZ: Matrix = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Of linear sRGB. Its rows sum to the white D65, (0.95047, 1, 1.08883)."""

WHITE = tuple(sum(row) for row in RGB_TO_XYZ)
LIGHTNESS_SCALE = 100.0
"""L* is in [0, 100]."""

SRGB_KNEE, SRGB_SLOPE, SRGB_POWER = 0.04045, 12.92, 2.4
LAB_KNEE = 6 / 29
LAB_SLOPE = 3 * LAB_KNEE**2
"""Of the line in the inverse cube root: both pieces of that curve have this slope at the knee."""


def inverse(matrix: Matrix) -> Matrix:
    """Its inverse, in double precision."""
    first, second, third = torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)).tolist()
    return tuple(first), tuple(second), tuple(third)


RGB_TO_RELATIVE: Matrix = tuple(
    tuple(weight / white for weight in row) for row, white in zip(RGB_TO_XYZ, WHITE, strict=True)
)  # type: ignore[assignment]
"""To X / Xn, Y / Yn, Z / Zn: every grey becomes three equal numbers."""

RELATIVE_TO_RGB = inverse(RGB_TO_RELATIVE)


def mix(planes: Tensor, matrix: Matrix) -> Tensor:
    """(B, 3, H, W) -> the same shape: `matrix` times each pixel, in full precision under autocast as well."""
    first, second, third = planes.unbind(1)
    return torch.stack([(first * x).add_(second, alpha=y).add_(third, alpha=z) for x, y, z in matrix], dim=1)


def linearise(images: Tensor) -> Tensor:
    """sRGB in [0, 1] -> amounts of light in [0, 1], any shape."""
    bright = images.clamp(min=SRGB_KNEE).add_(0.055).div_(1.055).pow_(SRGB_POWER)
    return bright.add_(images.clamp(max=SRGB_KNEE).sub_(SRGB_KNEE), alpha=1 / SRGB_SLOPE)


def compand(light: Tensor) -> Tensor:
    """Amounts of light in [0, 1] -> sRGB in [0, 1], any shape; the inverse of `linearise`."""
    knee = SRGB_KNEE / SRGB_SLOPE
    bright = light.clamp(min=knee).pow_(1 / SRGB_POWER).mul_(1.055).sub_(0.055)
    return bright.add_(light.clamp(max=knee).sub_(knee), alpha=SRGB_SLOPE)


def rgb_to_lab(images: Tensor) -> Tensor:
    """(B, 3, H, W) sRGB in [0, 1] -> L*, a*, b* of white D65, float32: L* in [0, 100], a* and b* within +-108."""
    relative = mix(linearise(images.float()), RGB_TO_RELATIVE)
    knee = LAB_KNEE**3
    root = relative.clamp(min=knee).pow_(1 / 3)
    x, y, z = root.add_(relative.clamp_(max=knee).sub_(knee), alpha=1 / LAB_SLOPE).unbind(1)
    return torch.stack([y * 116 - 16, (x - y).mul_(500), (y - z).mul_(200)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """(B, 3, H, W) L*, a*, b* -> sRGB in [0, 1], float32; colours outside of sRGB are clamped."""
    relative = lab_to_relative(lab.float())
    return compand(mix(relative, RELATIVE_TO_RGB).clamp_(0, 1)).clamp_(0, 1)


def lab_to_relative(lab: Tensor) -> Tensor:
    """(B, 3, H, W) L*, a*, b* -> X / Xn, Y / Yn, Z / Zn of the same shape."""
    y = (lab[:, 0] + 16) / 116
    root = torch.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], dim=1)
    return root.clamp(min=LAB_KNEE).pow_(3).add_(root.clamp_(max=LAB_KNEE).sub_(LAB_KNEE), alpha=LAB_SLOPE)
