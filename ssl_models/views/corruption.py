"""Holes and noise: pictures corrupted on purpose, and a mask of the corrupted values.

Masks are (B, 1, H, W) bool, True where a picture is hidden. A noise function takes values (B, C, H, W) between `low`
and `high`, which are numbers or tensors that broadcast. It returns the corrupted values, and a bool tensor of the same
shape that is True where a value was drawn to be corrupted, even where it happens to keep its value.
Letters: B samples, K blocks a sample, C channels, H W height and width.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.views.drawing import normal, uniform

Bound = float | Tensor


def centre_mask(
    batch: int, height: int, width: int, *, share: float, device: torch.device | str | None = None
) -> Tensor:
    """(B, 1, H, W): a rectangle in the middle, of the picture's aspect and `share` of its area, the same for all.

    Pathak et al. 2016 (arXiv:1604.07379, section 3.3) hide the middle quarter.
    """
    require_hole(height, width, share=share)
    mask = torch.zeros(height, width, dtype=torch.bool, device=device)
    tall, wide = (max(1, round(share**0.5 * extent)) for extent in (height, width))
    top, left = (height - tall) // 2, (width - wide) // 2
    mask[top : top + tall, left : left + wide] = True
    return mask.expand(batch, 1, height, width)


def block_mask(generator: Generator, batch: int, height: int, width: int, *, blocks: int, share: float) -> Tensor:
    """(B, 1, H, W): `blocks` rectangles anywhere, which may overlap and together hide at most `share` of a picture.

    Pathak et al. 2016 (section 3.3): "a number of smaller possibly overlapping masks, covering up to 1/4 of the image".
    Each side is drawn from half to all of what `share` / `blocks` of the area allows, each sample by itself.
    """
    require_hole(height, width, share=share, blocks=blocks)
    draw = uniform(generator, 4, batch, blocks, 1, axis=1)
    within = []
    for lengths, starts, extent in ((draw[0], draw[1], height), (draw[2], draw[3], width)):
        longest = int((share / blocks) ** 0.5 * extent)
        shortest = (longest + 1) // 2
        length = shortest + (lengths * (longest - shortest + 1)).floor()
        start = (starts * (extent - length + 1)).floor()  # (B, K, 1)
        place = torch.arange(extent, device=draw.device)
        within.append((place >= start) & (place < start + length))  # (B, K, extent)
    rows, columns = within
    return (rows[..., None] & columns[:, :, None]).any(1, keepdim=True)


def require_hole(height: int, width: int, *, share: float, blocks: int = 1, name: str = "share") -> None:
    """Refuses a share (called `name`) that hides nothing or everything, and blocks smaller than a pixel."""
    require_positive(blocks=blocks)
    if not 0 < share < 1:
        raise ValueError(f"{name} is {share}; it must lie between 0 and 1, both excluded")
    if (share / blocks) ** 0.5 * min(height, width) < 1:
        raise ValueError(
            f"blocks is {blocks}; a block of {name} {share} / {blocks} of {height} x {width} px is under a pixel"
        )


def mean_colour(pictures: Tensor, hidden: Tensor | None = None) -> Tensor:
    """(B, C, H, W) -> (B, C, 1, 1): the mean of each picture, where (B, 1, H, W) `hidden` is given outside of it."""
    if hidden is None:
        return pictures.mean((2, 3), keepdim=True)
    seen = (~hidden.bool()).to(pictures.dtype)
    return (pictures * seen).sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True).clamp_min(1)


def gaussian_noise(
    values: Tensor, generator: Generator, level: float, low: Bound = 0.0, high: Bound = 1.0
) -> tuple[Tensor, Tensor]:
    """Adds noise of deviation `level` * (high - low) to every value and clamps to [low, high]."""
    noise = normal(generator, *values.shape, dtype=values.dtype)
    noisy = values + noise * (level * (high - low))
    bounds = (torch.as_tensor(bound, dtype=values.dtype, device=values.device) for bound in (low, high))
    return noisy.clamp(*bounds), torch.ones_like(values, dtype=torch.bool)


def masking_noise(
    values: Tensor,
    generator: Generator,
    level: float,
    low: Bound = 0.0,
    high: Bound = 1.0,  # noqa: ARG001 - all noises are called alike
) -> tuple[Tensor, Tensor]:
    """Each value becomes `low`, for a picture 0, with probability `level`.

    Vincent et al. 2010 (section 3.3) draw a fixed number of values for each sample; here it varies about that number.
    """
    require_fraction(level=level)
    masked = uniform(generator, *values.shape) < level
    return torch.where(masked, low, values), masked


def salt_and_pepper_noise(
    values: Tensor, generator: Generator, level: float, low: Bound = 0.0, high: Bound = 1.0
) -> tuple[Tensor, Tensor]:
    """With probability `level` a value becomes `low` or `high`, equally often (Vincent et al. 2010, section 3.3)."""
    require_fraction(level=level)
    draw = uniform(generator, *values.shape)
    return torch.where(draw < level / 2, low, torch.where(draw < level, high, values)), draw < level


NOISES = {"gaussian": gaussian_noise, "masking": masking_noise, "salt_and_pepper": salt_and_pepper_noise}
