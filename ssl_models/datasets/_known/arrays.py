"""Pictures that a well-known data set holds as arrays of numbers, listed for the reader of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numpy import ndarray

from ssl_models.datasets._pictures.arrangement import Entry


@dataclass(frozen=True, slots=True)
class Array:
    """What gives one picture of (N, H, W, 3) uint8 as a file of the format PPM, which holds the numbers as they are."""

    images: ndarray
    number: int

    def __call__(self) -> bytes:
        image = self.images[self.number]
        height, width, _ = image.shape
        return f"P6 {width} {height} 255\n".encode() + image.tobytes()


def entries(split: str, images: ndarray, labels: Sequence[int] | None = None) -> list[Entry]:
    """An entry for each of (N, H, W, 3) uint8, named SPLIT/NUMBER, with its label where there are any."""
    own = [-1] * len(images) if labels is None else labels
    return [
        Entry(f"{split}/{number:06}", Array(images, number), label)
        for number, label in zip(range(len(images)), own, strict=True)
    ]
