"""The way back from a representation's map to a picture, thrown away after training like a head; and its error."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder

NARROWEST = 16
SMALLEST_VARIANCE = 1e-3
"""Of what is to be painted: a blank picture, or a batch of them, is not blown up beyond this (8 of 255 steps)."""


class Decoder(nn.Module):
    """(B, dim, h, w) maps -> (B, channels, H, W) for any `side`, H = W = side or (H, W); no range is enforced.

    A 1x1 convolution to `width` channels, then for each doubling but the last: nearest-neighbour enlargement, a 3x3
    convolution, batch normalisation and ReLU, half as many channels as before but at least 16. Enlargement and
    convolution rather than a transposed convolution, whose overlaps print a chequered pattern (Odena et al. 2016). In
    the last doubling a 1x1 convolution gives each position its four pixels (Shi et al. 2016, arXiv:1609.05158), for a
    third of the time of the whole, as nothing is then convolved at full size.
    """

    def __init__(self, dim: int, channels: int, side: int | tuple[int, int], *, start: int, width: int = 64) -> None:
        """start: height h of the maps that it will be given; H is reached by doublings and a last interpolation."""
        super().__init__()
        self.size = (side, side) if isinstance(side, int) else side
        self.narrow = nn.Sequential(nn.Conv2d(dim, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        steps: list[nn.Module] = []
        while 2 * start < self.size[0]:
            after = max(NARROWEST, width // 2)
            steps.append(
                nn.Sequential(
                    nn.Upsample(scale_factor=2, mode="nearest"),
                    nn.Conv2d(width, after, 3, 1, 1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
            )
            start, width = 2 * start, after
        self.steps = nn.Sequential(*steps)
        self.last: nn.Module = nn.Conv2d(width, channels, 1)
        if start < self.size[0]:
            self.last = nn.Sequential(nn.Conv2d(width, 4 * channels, 1), nn.PixelShuffle(2))

    def forward(self, maps: Tensor) -> Tensor:
        pictures: Tensor = self.last(self.steps(self.narrow(maps)))
        if pictures.shape[2:] == self.size:
            return pictures
        return functional.interpolate(pictures, size=self.size, mode="bilinear", align_corners=False)


def map_shapes(encoder: Encoder, shape: tuple[int, ...]) -> dict[str, tuple[int, int, int]]:
    """Layer -> (channels, h, w) of its map of a sample of `shape`, from first to last.

    Asked from a copy without data, so that nothing is computed and no statistic moves.
    """
    hollow = deepcopy(encoder).to("meta").eval()
    maps = hollow.layers(torch.empty(1, *shape, device="meta"))
    return {layer: (found.shape[1], found.shape[2], found.shape[3]) for layer, found in maps.items()}


def painting_target(pictures: Tensor, colour: Tensor, normalise: bool) -> Tensor:
    """(B, C, H, W) in [0, 1] and colours (B, C, 1, 1) -> what a decoder is to paint, (B, C, H, W) about 0.

    normalise: each picture without its colour and over its deviation from it, so that a bright or motley picture counts
    as much as a pale one and shapes decide, as He et al. 2022 (arXiv:2111.06377) do it for patches. Without
    it the picture with mean 1/2 and deviation 1/4 taken out.
    """
    if not normalise:
        return 4 * pictures - 2
    centred = pictures - colour
    return centred / (centred.square().mean((1, 2, 3), keepdim=True) + SMALLEST_VARIANCE).sqrt()


def unexplained(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """`sum w (x - z)^2 / sum w (x - m)^2`: the squared error as a share of the best constant's, so 1 knows nothing.

    (B, C, H, W) each, or what broadcasts for the weight; m is the weighted mean of each channel of the batch's target.
    The division rids the loss of the pictures' contrast and of the number of values; computed in float32.
    """
    prediction, target = prediction.float(), target.float()
    weight = weight.float().expand_as(target)
    count = weight.sum((0, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    mean = (weight * target).sum((0, 2, 3), keepdim=True) / count
    spread = (weight * (target - mean).square()).sum().clamp_min(SMALLEST_VARIANCE * count.sum())
    return (weight * (prediction - target).square()).sum() / spread
