"""Multi-crop: two large views of a picture and several small ones, which cost little (Caron et al. 2020).

arXiv:2006.09882, section 3.3: small crops of a part of the picture are compared with the large ones, and with a quarter
of the pixels each they take a fraction of the time. An encoder is given one size at a time.
Letters: B samples, C channels, H W height and width of the large views, h w of small ones, n small views, D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Generator, Tensor

from ssl_models.views.augmentation import Augmentation

SMALL = 2
"""How many times as long as that of a small view the side of a large one is; the paper's are 224 and 96 px."""


@dataclass(frozen=True)
class MultiCrop:
    """(B, C, H, W) float in [0, 1] -> two views (B, C, H, W), and with `count` one of (n * B, C, h, w), all first crops
    of the batch before all second ones.

    Raises ValueError for a value out of range.
    """

    first: Augmentation
    second: Augmentation
    small: Augmentation
    count: int = 0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"small_crops is {self.count}; it must be at least 0")

    @classmethod
    def of(
        cls, large: Augmentation, *, solarise: float = 0.0, small_crops: int = 0, smallest_small_crop: float = 0.1
    ) -> Self:
        """Two large views, which differ in `solarise`, that of the second; and small ones.

        The area of small crops ends where that of large ones begins, as in DINO (Caron et al. 2021, arXiv:2104.14294):
        U(smallest_small_crop, large.smallest_crop). Their sides are half as long. Raises ValueError for pictures
        without a size.
        """
        if large.size is None:
            raise ValueError("a multi-crop needs the size of its large views")
        if not small_crops:
            return cls(large, replace(large, solarise=solarise), large)
        if not 0 < smallest_small_crop <= large.smallest_crop:
            raise ValueError(
                f"smallest_small_crop is {smallest_small_crop}; it must be over 0, and at most smallest_crop, "
                f"{large.smallest_crop}"
            )
        half = tuple(max(1, side // SMALL) for side in large.size)
        areas = {"smallest_crop": smallest_small_crop, "largest_crop": large.smallest_crop}
        small = replace(large, **areas, size=half)  # type: ignore[arg-type]
        return cls(large, replace(large, solarise=solarise), small, small_crops)

    @property
    def layout(self) -> tuple[int, ...]:
        """In how many blocks the rows of each view lie, see `Method.layout`."""
        return (1, 1, self.count) if self.count else (1, 1)

    def __call__(self, pictures: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        large = self.first(pictures, generator), self.second(pictures, generator)
        return *large, *self.small_views(pictures, generator)

    def small_views(self, pictures: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """The last view, (n * B, C, h, w); none where `count` is 0."""
        if not self.count:
            return ()
        return (torch.cat([self.small(pictures, generator) for _ in range(self.count)]),)


def of_each(network: Callable[[Tensor], Tensor], views: Sequence[Tensor], batch: int) -> list[Tensor]:
    """What a network gives for each crop, (B, D), in the order of the views; it is called once for each size.

    So batch normalisation uses the statistics of all crops of a size, as in the authors' code.
    """
    found: list[Tensor] = []
    for size in dict.fromkeys(view.shape[1:] for view in views):
        crops = [view for view in views if view.shape[1:] == size]
        found += torch.split(network(torch.cat(crops) if len(crops) > 1 else crops[0]), batch)
    return found
