"""Decoders from a layer's map to a picture, which are removed after training like a head; and their error."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NARROWEST = 16
SMALLEST_VARIANCE = 1e-3
"""The least variance that a target is divided by (8 of 255 steps), so that a blank picture is not amplified."""


class Decoder(nn.Module):
    """(B, dim, h, w) maps -> (B, channels, H, W), H = W = side or (H, W) = side; the range is not limited.

    A 1x1 convolution to `width` channels. For each doubling but the last: nearest-neighbour enlargement, a 3x3
    convolution, batch normalisation and ReLU, with half as many channels as before but at least 16. A transposed
    convolution would overlap unevenly and leave a chequered pattern (Odena et al. 2016). In the last doubling a 1x1
    convolution computes the four pixels of each position (Shi et al. 2016, arXiv:1609.05158): no convolution runs at
    full size, and the whole takes a third of the time.
    """

    def __init__(self, dim: int, channels: int, side: int | tuple[int, int], *, start: int, width: int = 64) -> None:
        """start: height h of the maps that it is given. Doublings, and an interpolation at the end, lead to H."""
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


def painting_target(pictures: Tensor, colour: Tensor, normalise: bool) -> Tensor:
    """(B, C, H, W) in [0, 1] and colours (B, C, 1, 1) -> what a decoder is to predict, (B, C, H, W) about 0.

    normalise: subtract the picture's colour and divide by the deviation from it, so that pale and contrasty pictures
        count the same, and shapes decide, as He et al. 2022 (arXiv:2111.06377) do for patches. Otherwise subtract 1/2
        and divide by 1/4.
    """
    if not normalise:
        return 4 * pictures - 2
    return (pictures - colour) / spread(pictures, colour)


def painting(prediction: Tensor, pictures: Tensor, colour: Tensor, normalise: bool) -> Tensor:
    """The inverse of `painting_target`, of a prediction (B, C, H, W): colours about [0, 1].

    The deviation is that of the true picture: a decoder of normalised colours leaves it open.
    """
    if not normalise:
        return (prediction + 2) / 4
    return colour + spread(pictures, colour) * prediction


def spread(pictures: Tensor, colour: Tensor) -> Tensor:
    """(B, C, H, W) and colours (B, C, 1, 1) -> (B, 1, 1, 1): the pictures' deviation from their colours, above zero."""
    return ((pictures - colour).square().mean((1, 2, 3), keepdim=True) + SMALLEST_VARIANCE).sqrt()


def unexplained(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """`sum w (x - z)^2 / sum w (x - m)^2`: the squared error divided by that of the best constant, which gives 1.

    (B, C, H, W) each; the weight may have any shape that broadcasts. m is the weighted mean of each channel of the
    batch's target. So the loss does not depend on the contrast of the pictures or the number of values. Computed in
    float32.
    """
    prediction, target = prediction.float(), target.float()
    weight = weight.float().expand_as(target)
    count = weight.sum((0, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    mean = (weight * target).sum((0, 2, 3), keepdim=True) / count
    spread = (weight * (target - mean).square()).sum().clamp_min(SMALLEST_VARIANCE * count.sum())
    return (weight * (prediction - target).square()).sum() / spread
