"""Sound: (B, S) samples of one channel, stored as int16, and given to an encoder as float32 in [-1, 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_fraction
from ssl_models.modalities.inputs import inputs
from ssl_models.views.drawing import uniform

PARTS = ("sound",)
AXES = 1


@dataclass(frozen=True)
class MildViews:
    """(B, S) int16 -> (B, S) float32: shifted in time, zeros coming in, and louder or softer, drawn for each sample.

    Raises ValueError for a value out of range.

    shift: the most that a sample moves either way, as a share of its length. Default 0.05. Own.
    gain: the largest change of loudness either way, in factors of two. Default 0.5. Own.
    """

    shift: float = 0.05
    gain: float = 0.5

    def __post_init__(self) -> None:
        require_fraction(shift=self.shift, gain=self.gain)

    def __call__(self, samples: Tensor, generator: Generator) -> Tensor:
        sound = inputs(samples)
        count, length = sound.shape
        draws = uniform(generator, 2, count, 1, axis=1) * 2 - 1
        moved = (draws[0] * self.shift * length).round().long()
        place = torch.arange(length, device=sound.device) - moved  # (B, S)
        inside = (place >= 0) & (place < length)
        shifted = sound.gather(1, place.clamp(0, length - 1)) * inside
        return shifted * 2 ** (draws[1] * self.gain)
