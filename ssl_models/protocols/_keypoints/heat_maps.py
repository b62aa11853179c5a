"""Heat maps of named points on an encoder's maps: the head, its training targets, and the points read from its output.

Xiao et al. 2018, arXiv:1804.06208, "simple baselines".
Legend: N samples, B of a batch, P points, D numbers of a sample's maps, (H, W) a picture's size, (h, w) a heat map's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs

DEVIATION = 1.5
"""Standard deviation of a target's Gaussian, in cells of the heat map."""


class Maps(nn.Module):
    """(B, C, H, W) in [0, 1] -> (B, D): maps of `layers`, flattened. frozen: without gradient, in evaluation mode."""

    def __init__(self, encoder: Encoder, layers: list[str], frozen: bool) -> None:
        super().__init__()
        self.encoder, self.layers, self.frozen = encoder, layers, frozen
        encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Maps:
        super().train(mode and not self.frozen)
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            found = self.encoder.layers(pictures)
        return torch.cat([found[layer].flatten(1) for layer in self.layers], dim=1)


class Head(nn.Module):
    """(B, D) -> heat maps (B, P, h, w), twice as fine as the finest of the maps, but no finer than the picture.

    Each map is brought to `width` channels by a 1x1 convolution and enlarged to the finest; their sum goes through two
    3x3 convolutions, and a 1x1 gives each position its four cells of each point (Shi et al. 2016, arXiv:1609.05158).
    The transposed convolutions of Xiao et al. cost several times as much where maps have few channels.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], points: int, width: int, height: int) -> None:
        """shapes: (channels, rows, columns) of each map. height: H."""
        super().__init__()
        self.shapes, self.finest = shapes, max(shape[1:] for shape in shapes)
        finer = 2 if 2 * self.finest[0] <= height else 1
        self.narrow = nn.ModuleList(
            nn.Sequential(nn.Conv2d(shape[0], width, 1, bias=False), nn.BatchNorm2d(width)) for shape in shapes
        )
        steps: list[nn.Module] = [nn.ReLU(inplace=True)]
        for _ in range(2):
            steps += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.last = nn.Sequential(*steps, nn.Conv2d(width, finer**2 * points, 1), nn.PixelShuffle(finer))

    def forward(self, maps: Tensor) -> Tensor:
        parts = torch.split(maps, [channels * rows * columns for channels, rows, columns in self.shapes], dim=1)
        total = torch.zeros((), device=maps.device)
        for part, shape, narrow in zip(parts, self.shapes, self.narrow, strict=True):
            total = total + functional.interpolate(narrow(part.reshape(-1, *shape)), self.finest, mode="bilinear")
        heat: Tensor = self.last(total)
        return heat


class Localisation(Method):
    """The head's squared error over the visible points, as a share of the targets' squares: 1 for empty heat maps."""

    family = "control"
    reference = ""
    chance = 1.0

    def __init__(self, encoder: Encoder, maps: nn.Module, head: Head, points: Tensor, size: Sequence[int]) -> None:
        """maps: takes what `views` returns. points: (N, P, 3), in pictures of `size` (H, W)."""
        super().__init__(encoder)
        self.maps, self.head, self.size = maps, head, size
        self.points: Tensor
        self.register_buffer("points", points, persistent=False)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:  # noqa: ARG002 - nothing is drawn
        """(B, C, H, W) uint8 pictures, or (B, D) maps that were kept, as floats."""
        return (inputs(images) if images.dtype == torch.uint8 else images.float(),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        heat = self.head(self.maps(views[0])).float()
        points = self.points[index]
        target = targets(points, self.size, heat.shape[2:])
        seen = points[..., 2, None, None] > 0
        return {"loss": (seen * (heat - target).square()).sum() / (seen * target.square()).sum().clamp_min(1.0)}


def targets(points: Tensor, size: Sequence[int], cells: Sequence[int]) -> Tensor:
    """(B, P, 3) in pixels of pictures of `size` (H, W) -> (B, P, h, w): a Gaussian of height 1 around each point."""
    down, across = (
        (torch.arange(count, device=points.device) + 0.5 - points[..., axis, None] * (count / pixels))
        for axis, count, pixels in ((1, cells[0], size[0]), (0, cells[1], size[1]))
    )
    squares = (down.square()[..., :, None] + across.square()[..., None, :]) / DEVIATION**2
    return (-squares / 2).exp()


def peaks(heat: Tensor, size: Sequence[int]) -> Tensor:
    """(N, P, h, w) -> (N, P, 2): x and y of the maxima in pixels of pictures of `size` (H, W).

    Along each axis a maximum is moved a quarter of a cell towards the higher of its two neighbours (Xiao et al. 2018,
    section 2; after Newell et al. 2016). It is not moved where they are equal, nor at an edge.
    """
    rows, columns = heat.shape[2:]
    flat = heat.flatten(2)
    best = flat.argmax(2)  # (N, P)
    places = []
    for place, step, count, pixels in (
        (best % columns, 1, columns, size[1]),
        (best // columns, columns, rows, size[0]),
    ):
        inner = (place > 0) & (place < count - 1)
        after = flat.gather(2, torch.where(inner, best + step, best)[..., None])[..., 0]
        before = flat.gather(2, torch.where(inner, best - step, best)[..., None])[..., 0]
        places.append((place + 0.5 + 0.25 * (after - before).sign()) * (pixels / count))
    return torch.stack(places, dim=2)
