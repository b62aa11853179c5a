"""Colour and light of a batch, each sample with its own parameters.

Brightness, contrast, saturation, hue and greyscale are all affine in RGB, so together they are one 3x3 matrix and one
offset a sample, where torchvision makes five passes, one of them through HSV.
Letters: B samples, C channels, H W height and width.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_fraction
from ssl_models.views.drawing import uniform

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in grey (ITU-R BT.601)."""

RGB_TO_YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""The plane of I and Q is the plane of colour at constant grey; turning it turns the hue and keeps the grey."""


def colour_matrix(saturation: Tensor, hue: Tensor) -> Tensor:
    """(B,) saturation factors and (B,) hue turns (1 = once around) -> (B, 3, 3) matrices on RGB columns.

    Saturation 0 gives greyscale. Every matrix maps grey to the same grey.
    """
    device = saturation.device
    forward = torch.tensor(RGB_TO_YIQ, device=device)
    backward = torch.linalg.inv(forward.double()).float()
    angle = 2 * math.pi * hue
    cosine, sine = saturation * angle.cos(), saturation * angle.sin()
    zero, one = torch.zeros_like(hue), torch.ones_like(hue)
    turn = torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], dim=1).view(-1, 3, 3)
    return backward @ turn @ forward


def adjust_colour(images: Tensor, *, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] with (B,) factors -> the same shape, clamped to [0, 1].

    `x -> brightness * (contrast * M x + (1 - contrast) * mean grey)`, M being `colour_matrix`; ones and a zero hue
    change nothing. Pictures that do not have three channels have no hue or saturation: those two are skipped.
    """
    batch, channels = images.shape[:2]
    if channels == 3:
        matrix = colour_matrix(saturation, hue)
        grey = images.mean((2, 3)) @ torch.tensor(LUMA, device=images.device)  # (B,)
    else:
        matrix = torch.eye(channels, device=images.device).expand(batch, -1, -1)
        grey = images.mean((1, 2, 3))
    matrix = matrix * (brightness * contrast)[:, None, None]
    offset = (brightness * (1 - contrast) * grey)[:, None, None]  # (B, 1, 1)
    return torch.baddbmm(offset, matrix, images.flatten(2)).clamp_(0, 1).view(images.shape)


def colour_jitter(
    images: Tensor,
    generator: Generator,
    *,
    strength: float,
    hue: float,
    grey: float = 0.0,
    probability: float = 0.8,
) -> Tensor:
    """Random brightness, contrast, saturation, hue and greyscale, drawn for each sample.

    SimCLR's appendix A: factors from U(1 - 0.8 strength, 1 + 0.8 strength), applied with probability 0.8, then grey
    with probability 0.2. A strength over 1.25 could make a factor negative, and is refused.
    hue: the largest turn as a share of the circle. 0.5 reaches every hue from every other; the paper's is 0.2 *
        strength.
    """
    require_fraction(grey=grey, probability=probability)
    require_jitter(strength, hue)
    spread = 0.8 * strength
    draw = uniform(generator, 6, len(images), axis=1)
    jittered = (draw[0] < probability).float()
    factors = 1 + (draw[1:4] * 2 - 1) * spread * jittered  # (3, B)
    saturation = torch.where(draw[5] < grey, 0.0, factors[2])
    return adjust_colour(
        images,
        brightness=factors[0],
        contrast=factors[1],
        saturation=saturation,
        hue=(draw[4] * 2 - 1) * hue * jittered,
    )


def require_jitter(strength: float, hue: float, names: tuple[str, str] = ("colour strength", "hue")) -> None:
    """Refuses a strength outside [0, 1.25] and a hue outside [0, 0.5]. names: what they are called."""
    if not 0 <= strength <= 1.25:
        raise ValueError(f"{names[0]} is {strength}; it must lie in [0, 1.25]")
    if not 0 <= hue <= 0.5:
        raise ValueError(f"{names[1]} is {hue}; it must lie in [0, 0.5], a fraction of the circle")


def random_grey(images: Tensor, generator: Generator, probability: float) -> Tensor:
    """(B, C, H, W): samples turned grey with this probability; data without three channels come back as they are."""
    require_fraction(probability=probability)
    chosen = uniform(generator, len(images)) < probability
    if images.shape[1] != 3:
        return images
    luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return torch.where(chosen.view(-1, 1, 1, 1), (images * luma).sum(1, keepdim=True), images)


def gaussian_blur(images: Tensor, deviation: Tensor) -> Tensor:
    """(B, C, H, W) blurred by a Gaussian of `deviation` (B,) pixels each; 0 leaves a sample unchanged.

    Computed as two products with band matrices whose rows sum to 1. So edge pixels are not repeated, and edges do not
    become darker.
    """

    def band(extent: int) -> Tensor:
        place = torch.arange(extent, device=images.device)
        distance = (place[:, None] - place).float() / deviation.clamp_min(0.01)[:, None, None]
        weight = (-0.5 * distance.square()).exp()
        return weight / weight.sum(2, keepdim=True)  # (B, extent, extent)

    height, width = images.shape[2:]
    return band(height)[:, None] @ images @ band(width).mT[:, None]


def random_blur(images: Tensor, generator: Generator, probability: float) -> Tensor:
    """(B, C, H, W): blurred with this probability, deviation U(0.1, 2) at 224 px (SimCLR appendix A), scaled to W."""
    require_fraction(probability=probability)
    draw = uniform(generator, 2, len(images), axis=1)
    scale = images.shape[3] / 224
    deviation = (0.1 + 1.9 * draw[0]) * scale
    return gaussian_blur(images, torch.where(draw[1] < probability, deviation, 0.0))


def random_solarise(images: Tensor, generator: Generator, probability: float) -> Tensor:
    """(B, C, H, W): with this probability all values of 1/2 and above are inverted (Grill et al. 2020, appendix B)."""
    chosen = _chosen(images, generator, probability)
    return torch.where(chosen & (images >= 0.5), 1 - images, images)


def random_inversion(images: Tensor, generator: Generator, probability: float) -> Tensor:
    """(B, C, H, W): with this probability all values are inverted, so that what was lighter is darker."""
    return torch.where(_chosen(images, generator, probability), 1 - images, images)


def random_gamma(images: Tensor, generator: Generator, probability: float) -> Tensor:
    """(B, C, H, W): with this probability raised to a power whose logarithm is U(-1, 1)."""
    chosen = _chosen(images, generator, probability)
    power = (2 * uniform(generator, len(images)) - 1).exp()[:, None, None, None]
    return torch.where(chosen, images.clamp(min=0) ** power, images)


def _chosen(images: Tensor, generator: Generator, probability: float) -> Tensor:
    """(B, 1, 1, 1) bool: the samples that a change is made to."""
    require_fraction(probability=probability)
    return (uniform(generator, len(images)) < probability)[:, None, None, None]
