"""The twelve timbres, one for each class of the world's objects: partials, resonances, noise, attack and decay.

Each is modelled on a family of instruments, loosely. What tells them apart is where the power lies among the partials
and between them; attack and decay go with it, as they do in instruments. The names are for reading only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ssl_models.datasets._world.shapes import CLASSES

PARTIALS = 20
SILENT = -120.0
"""Decibels of a partial that a timbre does not have."""
SUSTAINED = 8.0
"""Seconds of decay of a note that is held."""


@dataclass(frozen=True)
class Timbre:
    """How one class sounds.

    ratios: frequencies of the partials, of the pitch. levels: of each, in decibels. resonances: (Hz, width in Hz,
    decibels) that partials near there gain, whatever the pitch is. noise: share of the power that is noise, and band:
    where it lies, in Hz. attack: seconds to 95 % of the amplitude. decay: seconds in which it falls to 1 / e.
    """

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    resonances: tuple[tuple[float, float, float], ...] = ()
    noise: float = 0.0
    band: tuple[float, float] = (100.0, 3800.0)
    attack: float = 0.02
    decay: float = SUSTAINED


def _harmonic(falling: float, even: float = 0.0, stiffness: float = 0.0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Partials whose levels fall by so many decibels an octave, the even ones by `even` more.

    stiffness: of a string, which raises partial k to k * sqrt(1 + stiffness * k ** 2) (Fletcher 1964).
    """
    numbers = range(1, PARTIALS + 1)
    ratios = tuple(k * (1 + stiffness * k * k) ** 0.5 for k in numbers)
    octaves = torch.arange(1, PARTIALS + 1).log2().tolist()
    return ratios, tuple(-falling * octave - even * (k % 2 == 0) for k, octave in zip(numbers, octaves, strict=True))


TIMBRES: dict[str, Timbre] = {
    "flute": Timbre((1, 2, 3), (0, -14, -24), noise=0.04, band=(1500, 3500), attack=0.08),
    "clarinet": Timbre(*_harmonic(5, even=40), attack=0.04),
    "brass": Timbre(*_harmonic(3), ((1300, 600, 14),), attack=0.05),
    "strings": Timbre(*_harmonic(6), ((450, 150, 8), (2800, 500, 14)), noise=0.01, attack=0.12),
    "oboe": Timbre((1, *_harmonic(1)[0][1:]), (-16, *_harmonic(1)[1][1:]), ((1000, 160, 20),), attack=0.02),
    "organ": Timbre((1, 2, 4, 8, 16), (0, -2, 0, 2, 2), attack=0.015),
    "guitar": Timbre(*_harmonic(9, stiffness=0.0008), ((600, 200, 12),), attack=0.006, decay=0.35),
    "marimba": Timbre((1, 3.93, 9.24), (0, -10, -18), noise=0.01, band=(300, 1500), attack=0.004, decay=0.2),
    "bell": Timbre(
        (0.5, 1, 1.19, 1.56, 2, 2.51, 2.66, 3.01, 4.1, 5.43, 6.79, 8.21),
        (-8, -4, 0, -6, 0, -5, -4, -6, -6, -8, -9, -10),
        attack=0.004,
        decay=0.6,
    ),
    "drum": Timbre(
        (1, 1.59, 2.14, 2.3, 2.65, 2.92, 3.5),
        (0, -3, -5, -6, -9, -9, -12),
        noise=0.35,
        band=(100, 900),
        attack=0.004,
        decay=0.22,
    ),
    "harpsichord": Timbre(*_harmonic(-2), ((2400, 700, 8),), attack=0.004, decay=0.4),
    "wind": Timbre((1, 3), (0, -8), noise=0.85, band=(500, 2600), attack=0.1),
}
"""In the order of CLASSES."""


@cache
def partials() -> tuple[Tensor, Tensor]:
    """Ratios and levels in decibels of all timbres, (K, PARTIALS) each."""
    ratios, levels = torch.ones(len(CLASSES), PARTIALS), torch.full((len(CLASSES), PARTIALS), SILENT)
    for row, timbre in enumerate(TIMBRES.values()):
        ratios[row, : len(timbre.ratios)] = torch.tensor(timbre.ratios)
        levels[row, : len(timbre.levels)] = torch.tensor(timbre.levels)
    return ratios, levels


def resonance(labels: Tensor, hertz: Tensor, shift: Tensor) -> Tensor:
    """(B, N) decibels that partials at `hertz` (B, N) gain by resonances, which lie at `shift` (B,) of their place."""
    most = max(len(timbre.resonances) for timbre in TIMBRES.values())
    table = torch.zeros(len(CLASSES), most, 3)
    table[..., 1] = 1.0
    for row, timbre in enumerate(TIMBRES.values()):
        for place, each in enumerate(timbre.resonances):
            table[row, place] = torch.tensor(each)
    centre, width, gain = table[labels].unbind(2)  # (B, most)
    distance = (hertz[:, None] - (centre * shift[:, None])[..., None]) / width[..., None]  # (B, most, N)
    return (gain[..., None] * torch.exp(-0.5 * distance.square())).sum(1)


def column(name: str) -> Tensor:
    """(K,) one number of all timbres: noise, attack or decay."""
    return torch.tensor([getattr(timbre, name) for timbre in TIMBRES.values()])


def bands() -> Tensor:
    """(K, 2): where the noise of each timbre lies, in Hz."""
    return torch.tensor([timbre.band for timbre in TIMBRES.values()], dtype=torch.float32)
