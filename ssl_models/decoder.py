"""The way back from a representation's map to a picture; thrown away after training, like a head."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

NARROWEST = 16


class Decoder(nn.Module):
    """(B, dim, h, w) maps -> (B, channels, side, side), for squares `side` of any size; no range is enforced.

    A 1x1 convolution to `width` channels, then for each doubling: nearest-neighbour enlargement, a 3x3 convolution,
    batch normalisation and ReLU, half as many channels as before but at least 16; then a 1x1 convolution. Enlargement
    and convolution rather than a transposed convolution, whose overlaps print a chequered pattern (Odena et al. 2016).
    """

    def __init__(self, dim: int, channels: int, side: int, *, start: int, width: int = 64) -> None:
        """start: side h of the maps that it will be given; `side` is reached by doublings and a last interpolation."""
        super().__init__()
        self.side = side
        self.narrow = nn.Sequential(nn.Conv2d(dim, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        steps: list[nn.Module] = []
        while start < side:
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
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        pictures: Tensor = self.last(self.steps(self.narrow(maps)))
        if pictures.shape[-1] == self.side:
            return pictures
        return functional.interpolate(pictures, size=(self.side, self.side), mode="bilinear", align_corners=False)
