"""Made-up clips in which a patch of noise moves over a grey ground, and a representation of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ssl_models.errors import NeedsTruth
from ssl_models.protocols._common.score import Representation
from tests.ssl_models.reads import Reads, no_labels

FRAMES, SIDE, EDGE = 6, 32, 8


def made(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """frames (N, 6, 3, 32, 32), tracks (N, 2, 6, 4) and source (N, 1): a patch of 8 x 8 pixels, each clip its own.

    It goes from the left to the right, and is followed in frames 1 to 4 by the second track; the first is empty.
    """
    noise = torch.randint(0, 256, (count, 3, EDGE, EDGE), generator=Generator().manual_seed(seed), dtype=torch.uint8)
    frames = torch.full((count, FRAMES, 3, SIDE, SIDE), 128, dtype=torch.uint8)
    tracks = torch.zeros(count, 2, FRAMES, 4)
    for time in range(FRAMES):
        left = 4 * time
        frames[:, time, :, 12 : 12 + EDGE, left : left + EDGE] = noise
        if 1 <= time <= 4:
            tracks[:, 1, time] = torch.tensor([left, 12.0, left + EDGE, 12.0 + EDGE])
    source = torch.arange(count, dtype=torch.int32)[:, None]
    return {"frames": frames.numpy(), "tracks": tracks.numpy(), "source": source.numpy()}


def pixels(pictures: Tensor) -> Tensor:
    """A picture's pixels, their mean taken out."""
    flat = pictures.flatten(1)
    return flat - flat.mean(1, keepdim=True)


def representation(reads: Callable[[Tensor], Tensor], count: int, **changed: Any) -> Representation:
    """Of an encoder that is one function of the picture. changed: parts of the test clips; None: left out."""
    parts = {name: part for name, part in (made(count) | changed).items() if part is not None}

    def samples(split: str) -> Mapping[str, Any]:
        return parts if split == "test" else made(4, seed=1)

    def truth(split: str, name: str) -> Any:
        raise NeedsTruth(f"there are no {name} of {split}")

    return Representation(
        ("last", "pooled"),
        no_labels,
        no_labels,
        0,
        encoder=lambda: Reads(reads),
        samples=samples,
        truth=truth,
        precision="float32",
    )
