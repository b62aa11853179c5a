"""What is played and how: the factors of a note, drawn by streams that have names.

Every factor is drawn uniformly, and independently of the class, of the picture and of every other factor. A factor's
dial in [0, 1] narrows its range around its centre, and 0 fixes it. The draws themselves stay the same, so a dial
changes one factor only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from zlib import crc32

import torch
from torch import Tensor

from ssl_models.datasets._world_sound.timbres import PARTIALS
from ssl_models.datasets._world_speech.utterance import Factor, Kind

FACTORS: dict[str, Factor] = {
    "pitch": Factor(Kind.RATIO, 220.0, 1.5),
    "loudness": Factor(Kind.RANGE, -30.0, 8.0),
    "noise": Factor(Kind.AMOUNT, 0.0, 0.3),
    "onset": Factor(Kind.RANGE, 0.16, 0.14),
    "vibrato": Factor(Kind.AMOUNT, 0.0, 0.03),
}
"""Units. pitch: Hz. loudness: RMS from the onset on, without background, decibels of full scale. noise: RMS of the
background, of the note's. onset: seconds before the note. vibrato: the most that the pitch moves either way, of itself.
"""
DIALS: dict[str, float] = dict.fromkeys(FACTORS, 1.0)
"""A factor's dial has its name."""
HABITS = PARTIALS + 5
"""Numbers that say how a note is played this time: levels of its partials, shift of the resonances, attack, decay, and
rate and phase of the vibrato."""


@dataclass(frozen=True)
class Notes:
    """B notes to play. labels: (B,) int64, the class that sounds. factors: FACTORS -> (B,) float32.

    habits: (B, HABITS), raw draws in [0, 1): no note is played twice in the same way. seeds: (B,) int64, of the noise.
    """

    labels: Tensor
    factors: Mapping[str, Tensor]
    habits: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Notes:
        factors = {name: values[index] for name, values in self.factors.items()}
        return Notes(self.labels[index], factors, self.habits[index], self.seeds[index])

    def moved(self, **values: Tensor | float) -> Notes:
        """The same notes with some factors set to (B,) values or one number."""
        if unknown := set(values) - set(self.factors):
            raise ValueError(f"factors {sorted(unknown)} are unknown; choose from {sorted(self.factors)}")
        changed = {name: torch.zeros_like(self.factors[name]) + value for name, value in values.items()}
        return replace(self, factors={**self.factors, **changed})


def sample_notes(labels: Tensor, generator: torch.Generator, dials: Mapping[str, float]) -> Notes:
    """A note of each class of `labels` (B,). The first notes of a longer draw are those of a shorter one."""
    seed, count = int(torch.randint(2**32, (), generator=generator)), len(labels)
    factors = {name: factor.value(uniform(seed, name, count), dials[name]) for name, factor in FACTORS.items()}
    seeds = torch.randint(2**32, (count,), generator=_stream(seed, "seeds"))
    return Notes(labels, factors, uniform(seed, "habits", count, HABITS), seeds)


def check_dials(dials: Mapping[str, float]) -> None:
    """Raises ValueError for a dial that is unknown or outside [0, 1]."""
    for name, value in dials.items():
        if name not in DIALS:
            raise ValueError(f"world_sound dial '{name}' is unknown; choose from {sorted(DIALS)}")
        if not 0 <= value <= 1:
            raise ValueError(f"world_sound dial {name} is {value}; it must be between 0 (fixed) and 1 (full range)")


def uniform(seed: int, stream: str, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) of a seed's named stream."""
    return torch.rand(shape, generator=_stream(seed, stream))


def _stream(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed ^ crc32(name.encode()))
