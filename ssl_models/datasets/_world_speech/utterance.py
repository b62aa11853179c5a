"""What is said, by whom and how: the factors of an utterance, drawn by streams that have names.

Pitch, tract, breath and rate are first of all the speaker's: the 16 speakers take every pair of two factors' four
levels exactly once (an orthogonal array of strength two, Rao 1947), and an utterance lies around its speaker's level.
Noise, loudness and onset are drawn uniformly. A factor's dial in [0, 1] narrows its range, and 0 fixes it. The draws
themselves stay the same, so a dial changes one factor only. No factor depends on the word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from zlib import crc32

import torch
from torch import Tensor

from ssl_models.datasets._world_speech.phones import MOST, WORDS

LEVELS = 4
SPEAKERS = tuple(f"speaker {number:02d}" for number in range(1, LEVELS**2 + 1))
HABITS = 5
"""Numbers that say how one phone is spoken this time: shifts of three formants, its duration, its loudness."""
MELODY = 4
"""Numbers that say how the pitch moves: slope, hump, and depth and phase of a slow wave."""


class Kind(Enum):
    """How a factor's dial d and a share u in [0, 1) make its value."""

    RANGE = "center + d * reach * (2 u - 1)"
    RATIO = "center * reach ** (d * (2 u - 1))"
    AMOUNT = "d * reach * u"


@dataclass(frozen=True)
class Factor:
    """A nuisance factor, and its values at any dial.

    within: how much of the range between two speakers' levels one speaker's utterances cover; None for a factor that
    does not depend on the speaker.
    """

    kind: Kind
    center: float
    reach: float
    within: float | None = None

    def value(self, share: Tensor, dial: float) -> Tensor:
        """Shares (B,) in [0, 1) -> values (B,). Rounded from float64, so they do not depend on how many there are."""
        wide = share.double()
        if self.kind is Kind.AMOUNT:
            value = dial * self.reach * wide
        elif self.kind is Kind.RATIO:
            value = self.center * self.reach ** (dial * (2 * wide - 1))
        else:
            value = self.center + dial * self.reach * (2 * wide - 1)
        return value.float()


FACTORS: dict[str, Factor] = {
    "pitch": Factor(Kind.RATIO, 150.0, 1.6, within=0.8),
    "tract": Factor(Kind.RATIO, 1.0, 1.17, within=0.4),
    "breath": Factor(Kind.AMOUNT, 0.0, 1.6, within=0.8),
    "rate": Factor(Kind.RATIO, 1.0, 1.25, within=0.9),
    "noise": Factor(Kind.AMOUNT, 0.0, 0.4),
    "loudness": Factor(Kind.RANGE, -28.0, 8.0),
    "onset": Factor(Kind.RANGE, 0.045, 0.04),
}
"""Units. pitch: Hz, the word's mean in logarithms. tract: length of the vocal tract, of an average one; formants are
divided by it. breath: amplitude of the noise in the voice, of the pulses'. rate: of speaking, of the average; a word's
duration is divided by it. noise: RMS of the background, of the word's. loudness: RMS of the word without background,
decibels of full scale. onset: seconds before the word.
"""
DIALS: dict[str, float] = dict.fromkeys(FACTORS, 1.0)
"""A factor's dial has its name."""


@dataclass(frozen=True)
class Utterances:
    """B words to say. words, speakers: (B,) int64. factors: FACTORS -> (B,) float32. seeds: (B,) int64, of the noise.

    habits: (B, MOST, HABITS) and melody: (B, MELODY), raw draws in [0, 1): no word is said twice in the same way.
    """

    words: Tensor
    speakers: Tensor
    factors: Mapping[str, Tensor]
    habits: Tensor
    melody: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: Tensor | slice) -> Utterances:
        factors = {name: values[index] for name, values in self.factors.items()}
        drawn = (self.habits[index], self.melody[index], self.seeds[index])
        return Utterances(self.words[index], self.speakers[index], factors, *drawn)

    def moved(self, **values: Tensor | float) -> Utterances:
        """The same utterances with some factors set to (B,) values or one number."""
        if unknown := set(values) - set(self.factors):
            raise ValueError(f"factors {sorted(unknown)} are unknown; choose from {sorted(self.factors)}")
        changed = {name: torch.zeros_like(self.factors[name]) + value for name, value in values.items()}
        return replace(self, factors={**self.factors, **changed})


def sample_utterances(samples: int, generator: torch.Generator, dials: Mapping[str, float]) -> Utterances:
    """`samples` utterances. The first of a longer draw are those of a shorter one.

    Every ten in turn hold each word once, in random order, and every 160 each word of each speaker once.
    """
    seed = int(torch.randint(2**32, (), generator=generator))  # all that a generator's seed may have
    words, speakers = _spoken(samples, seed)
    factors = {}
    for name, factor in FACTORS.items():
        share = _uniform(seed, name, samples)
        if factor.within is not None:
            levels = speaker_levels()[name][speakers]
            share = (levels + 0.5 + factor.within * (share - 0.5)) / LEVELS
        factors[name] = factor.value(share, dials[name])
    habits, melody = _uniform(seed, "habits", samples, MOST, HABITS), _uniform(seed, "melody", samples, MELODY)
    seeds = torch.randint(2**32, (samples,), generator=_stream(seed, "seeds"))
    return Utterances(words, speakers, factors, habits, melody, seeds)


def speaker_levels() -> dict[str, Tensor]:
    """Factor -> (len(SPEAKERS),) int64 below LEVELS: rows i + LEVELS * j of the columns i, j, i + j, i + 2 j.

    Sums and products are those of the field of four elements: addition is bitwise, and 2 x 2 = 3, 2 x 3 = 1.
    """
    number = torch.arange(LEVELS**2)
    first, second = number % LEVELS, number // LEVELS
    twice = torch.tensor([0, 2, 3, 1])[second]
    return {"pitch": first, "tract": second, "breath": first ^ second, "rate": first ^ twice}


def check_dials(dials: Mapping[str, float]) -> None:
    """Raises ValueError for a dial that is unknown or outside [0, 1]."""
    for name, value in dials.items():
        if name not in DIALS:
            raise ValueError(f"world_speech dial '{name}' is unknown; choose from {sorted(DIALS)}")
        if not 0 <= value <= 1:
            raise ValueError(f"world_speech dial {name} is {value}; it must be between 0 (fixed) and 1 (full range)")


def _spoken(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Word and speaker of each utterance: in each round of 16 blocks, a word meets the speakers in random order."""
    rounds = -(-samples // (len(WORDS) * len(SPEAKERS)))
    words = _uniform(seed, "words", rounds * len(SPEAKERS), len(WORDS)).argsort(1)
    orders = _uniform(seed, "speakers", rounds, len(WORDS), len(SPEAKERS)).argsort(2)  # (round, word, block) -> speaker
    by_block = orders.transpose(1, 2).flatten(0, 1)  # (rounds * blocks, words)
    return words.flatten()[:samples], by_block.gather(1, words).flatten()[:samples]


def _stream(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed ^ crc32(name.encode()))


def _uniform(seed: int, stream: str, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) of a seed's named stream."""
    return torch.rand(shape, generator=_stream(seed, stream))
