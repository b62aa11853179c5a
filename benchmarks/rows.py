"""What a benchmark finds: a comparison with its target, or a method's speed. Imports nothing heavy."""

from __future__ import annotations

import operator
from dataclasses import dataclass

SIGNS = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}


@dataclass(frozen=True)
class Spread:
    """The median of repeated measurements, with the smallest and the largest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Target:
    """What a row must reach in its median. ratio: whether the bound is one of the ratio, else of our own number."""

    sign: str
    bound: float
    ratio: bool

    def met_by(self, spread: Spread) -> bool:
        return bool(SIGNS[self.sign](spread.median, self.bound))


@dataclass(frozen=True)
class Row:
    """One comparison. rival: what the other is, "" where there is none. how: one sentence on the measurement."""

    what: str
    unit: str
    ours: Spread
    how: str
    target: Target
    rival: str = ""
    other: Spread | None = None
    ratio: Spread | None = None

    @property
    def met(self) -> bool:
        measured = self.ratio if self.target.ratio else self.ours
        return measured is not None and self.target.met_by(measured)


@dataclass(frozen=True)
class MethodRow:
    """A method in the trainer: images a second, which share of the time its views take, and MiB grown once warm."""

    name: str
    rate: Spread
    share: Spread
    growth: float
