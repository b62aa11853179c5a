"""What a method and an encoder may know of the data before they see a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ssl_models.datasets._common.split import IMAGES
from ssl_models.errors import NeedsParts


@dataclass(frozen=True)
class DataSpec:
    """What is known of the data.

    samples: number of training samples N. shapes: part of a sample -> its shape, of images (C, H, W).
    labels: (N,) int64 class or cluster ids on the CPU, None where there are none. classes: how many ids there are.
    targets: (N, K) float logits of a teacher for each sample, None where there is none.
    sources: how many videos or recordings the samples are cut from, None where that is not known.
    known: what the reader tells besides, see datasets/_common/split.py: `rate`, `words`, `counts`, ...
    """

    samples: int
    shapes: Mapping[str, tuple[int, ...]]
    labels: Tensor | None = None
    classes: int | None = None
    targets: Tensor | None = None
    known: Mapping[str, Any] = field(default_factory=dict)
    sources: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a picture: (C, H, W). Raises NeedsParts where the samples have none."""
        return self.part(IMAGES)

    def part(self, name: str) -> tuple[int, ...]:
        """The shape of one part. Raises NeedsParts where the samples do not have it."""
        if name not in self.shapes:
            raise NeedsParts((name,), self.shapes)
        return self.shapes[name]
