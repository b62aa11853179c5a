"""A head that predicts a unit vector for every pixel from an encoder's maps, and its training.

It joins the maps of several layers at each position, as the hypercolumns of Bansal et al. 2016 (arXiv:1604.01347) do.
Legend: B of a batch, C channels, H and W sides of a picture, h and w of a map.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy import ndarray
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import map_shapes
from ssl_models.errors import NeedsTruth
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.protocols._common.score import Representation

ROWS = 256


class Head(nn.Module):
    """Maps of several layers -> (B, 3, H, W): a vector of any length for each pixel.

    It works on a grid with one position every `stride` pixels. Each map goes through batch normalisation and a
    convolution to `width` channels, which brings a finer map to the grid; a coarser map is enlarged after it. Their sum
    goes through a 3x3 convolution, and a 1x1 convolution gives each position its stride x stride pixels (Shi et al.
    2016, arXiv:1609.05158). The first layer is left out where there are others, since it is close to the picture.
    """

    def __init__(self, shapes: dict[str, tuple[int, int, int]], size: tuple[int, int], width: int, stride: int) -> None:
        """shapes: layer -> (C, h, w), from first to last. size: (H, W)."""
        super().__init__()
        self.size, self.grid = size, (ceil(size[0] / stride), ceil(size[1] / stride))
        self.names = list(shapes)[1:] or list(shapes)
        self.reduce = nn.ModuleList(self._reduction(*shapes[name], width) for name in self.names)
        self.join = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 3 * stride**2, 1),
            nn.PixelShuffle(stride),
        )

    def _reduction(self, channels: int, height: int, width: int, after: int) -> nn.Sequential:
        square = (max(1, height // self.grid[0]), max(1, width // self.grid[1]))
        return nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, after, square, square))

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        joined = torch.stack(
            [self._to_grid(reduce(maps[name])) for name, reduce in zip(self.names, self.reduce, strict=True)]
        ).sum(0)
        found: Tensor = self.join(joined)
        return found[:, :, : self.size[0], : self.size[1]]

    def _to_grid(self, reduced: Tensor) -> Tensor:
        if reduced.shape[2:] == self.grid:
            return reduced
        return functional.interpolate(reduced, size=self.grid, mode="bilinear", align_corners=False)


class Normals(Method):
    """A head for normals on an encoder, which is trained with it or frozen."""

    family = "control"
    reference = ""

    def __init__(
        self,
        encoder: Encoder,
        truth: Truth,
        shape: tuple[int, ...],
        *,
        frozen: bool,
        width: int,
        stride: int,
        flip: float = 0.5,
    ) -> None:
        """shape: of one picture, (C, H, W)."""
        super().__init__(encoder)
        encoder.requires_grad_(not frozen)
        self.truth, self.frozen, self.flip = truth, frozen, flip
        self.head = Head(map_shapes(encoder, shape), (shape[1], shape[2]), width, stride)

    def train(self, mode: bool = True) -> Normals:
        """A frozen encoder stays in evaluation mode, so that its batch norm statistics stay too."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> float pictures of that shape, and which of them were flipped: (B,) bool."""
        flipped = torch.rand(len(images), generator=generator, device=generator.device) < self.flip
        pictures = inputs(images)
        return torch.where(flipped[:, None, None, None], pictures.flip(3), pictures), flipped

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The mean of 1 - cosine over the pixels that count."""
        pictures, flipped = views
        truth = self.truth.rows(index.cpu().numpy()).to(pictures.device)
        # A flip changes the sign of the vectors' x too.
        mirrored = truth.flip(3) * truth.new_tensor([-1, 1, 1])[:, None, None]
        truth = torch.where(flipped[:, None, None, None], mirrored, truth)
        found = functional.normalize(self.vectors(pictures).float(), dim=1)
        known = truth.square().sum(1)  # 1 or 0
        cosine = (found * truth).sum(1)  # 0 where unknown
        return {"loss": (known - cosine).sum() / known.sum().clamp_min(1)}

    def vectors(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, 3, H, W), of any length."""
        found: Tensor = self.head(self.encoder.layers(pictures))
        return found


@dataclass(frozen=True)
class Truth:
    """normals: (N, 3, H, W), 0 where unknown. masks: (N, H, W), 0 where a pixel does not count; None if all count."""

    normals: ndarray
    masks: ndarray | None

    @classmethod
    def of(cls, representation: Representation, split: str, foreground: bool) -> Truth:
        normals = representation.truth(split, "normals")
        if not foreground:
            return cls(normals, None)
        try:
            return cls(normals, representation.truth(split, "masks"))
        except NeedsTruth:
            return cls(normals, None)

    def rows(self, index: ndarray | slice) -> Tensor:
        """(B, 3, H, W) float32 of length 1, since stored half precision rounds it; 0 where a pixel does not count."""
        normals = torch.from_numpy(np.array(self.normals[index], np.float32))
        if self.masks is not None:
            normals *= torch.from_numpy(np.array(self.masks[index]) > 0)[:, None]
        return functional.normalize(normals, dim=1)

    def check(self, split: str, images: ndarray) -> None:
        """Raises ValueError where shapes do not fit the images (N, C, H, W), NeedsTruth where no pixel counts."""
        wanted = (len(images), 3, *images.shape[2:])
        if self.normals.shape != wanted or (self.masks is not None and self.masks.shape != (wanted[0], *wanted[2:])):
            masks = "" if self.masks is None else f" and masks {self.masks.shape}"
            raise ValueError(
                f"the {split} normals have the shape {self.normals.shape}{masks}, not {wanted} as the images"
            )
        counted = False
        for start in range(0, len(images), ROWS):
            rows = self.rows(slice(start, start + ROWS))
            if not bool(rows.isfinite().all()):
                raise ValueError(f"the {split} normals are not finite in samples {start} to {start + len(rows) - 1}")
            counted |= bool(rows.any())
        if not counted:
            raise NeedsTruth(
                f"no pixel of the {split} split counts: all its normals are 0, or its masks hold no object"
            )
