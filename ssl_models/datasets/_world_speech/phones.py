"""The phones of the synthetic speech, and the words that are made of them.

A phone is three slots in time, of which one or two may have no duration: a plosive is a closure, a burst, and the
breath until the voice starts again; any other phone is its middle slot. A slot has targets, which the voice approaches
and may not reach (voice.py).

Formants are those of an average adult (after Peterson and Barney 1952, J. Acoust. Soc. Am. 24). A plosive's "formants"
are its locus: where the formants of its neighbours point to (Delattre, Liberman and Cooper 1955, same journal, 27).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FORMANTS = 3
SLOTS = 3
TARGETS = ("F1", "F2", "F3", "width", "voice", "breath", "friction", "centre")
"""What a slot aims at. F1 to F3, centre: natural logarithm of Hz. width: of the formants, in widths of a vowel's.
voice, breath, friction: amplitude of the pulses, of the noise that passes the tract, and of the noise of a
constriction, whose band lies around `centre`."""

LOGARITHMS, AMPLITUDES = ("F1", "F2", "F3", "centre"), ("voice", "breath", "friction")


@dataclass(frozen=True)
class Phone:
    """One phone of an average speaker at an average rate. See TARGETS for the units; formants and centre are in Hz.

    seconds: its duration. A plosive, which has a `burst` above 0, is silent for CLOSURE of it.
    """

    seconds: float
    formants: tuple[float, float, float]
    voice: float = 0.0
    width: float = 1.0
    friction: float = 0.0
    centre: float = 2000.0
    burst: float = 0.0

    @property
    def shares(self) -> tuple[float, float, float]:
        """What share of the duration each slot takes."""
        return (CLOSURE, BURST, 1 - CLOSURE - BURST) if self.burst else (0.0, 1.0, 0.0)

    def targets(self) -> list[list[float]]:
        """(SLOTS, TARGETS), formants and centre in Hz."""
        place = [*self.formants, self.width]
        if not self.burst:
            return [[*place, self.voice, 0.0, self.friction, self.centre]] * SLOTS
        return [
            [*place, 0.0, 0.0, 0.0, self.centre],
            [*place, 0.0, 0.0, self.burst, self.centre],
            [*place, 0.0, ASPIRATION, 0.0, self.centre],
        ]


CLOSURE, BURST = 0.55, 0.17
ASPIRATION = 0.5

PHONES: dict[str, Phone] = {
    "a": Phone(0.105, (740, 1250, 2500), voice=0.8),
    "e": Phone(0.095, (480, 1850, 2550), voice=1.0),
    "i": Phone(0.085, (300, 2250, 2950), voice=1.0),
    "o": Phone(0.095, (480, 900, 2450), voice=1.0),
    "u": Phone(0.085, (310, 800, 2300), voice=1.0),
    "m": Phone(0.070, (250, 1000, 2150), voice=0.5, width=2.0),
    "n": Phone(0.070, (250, 1500, 2550), voice=0.5, width=2.0),
    "s": Phone(0.095, (320, 1650, 2600), friction=0.5, centre=3600),
    "sh": Phone(0.095, (320, 1850, 2500), friction=0.7, centre=2500),
    "p": Phone(0.085, (250, 800, 2200), burst=1.2, centre=700),
    "t": Phone(0.085, (250, 1750, 2650), burst=1.2, centre=3400),
    "k": Phone(0.085, (250, 2000, 2300), burst=1.2, centre=1800),
}

WORDS: dict[str, tuple[str, ...]] = {
    "tami": ("t", "a", "m", "i"),
    "mati": ("m", "a", "t", "i"),
    "tani": ("t", "a", "n", "i"),
    "nati": ("n", "a", "t", "i"),
    "kesop": ("k", "e", "s", "o", "p"),
    "pesok": ("p", "e", "s", "o", "k"),
    "mukes": ("m", "u", "k", "e", "s"),
    "mupes": ("m", "u", "p", "e", "s"),
    "shon": ("sh", "o", "n"),
    "nosh": ("n", "o", "sh"),
}
"""No phone tells a word: four pairs have the same phones in another order, and others differ in one phone of a kind."""
MOST = max(len(spoken) for spoken in WORDS.values())
"""Phones of the longest word."""


def table() -> Tensor:
    """(len(PHONES), SLOTS, len(TARGETS)) float32, formants and centre as logarithms."""
    found = torch.tensor([phone.targets() for phone in PHONES.values()])
    logarithms = [TARGETS.index(name) for name in LOGARITHMS]
    found[..., logarithms] = found[..., logarithms].log()
    return found


def durations() -> Tensor:
    """(len(PHONES), SLOTS) float32: seconds of each slot."""
    return torch.tensor([[phone.seconds * share for share in phone.shares] for phone in PHONES.values()])


def spellings() -> Tensor:
    """(len(WORDS), MOST) int64: the phones of each word, -1 after its last."""
    names = list(PHONES)
    rows = [[names.index(phone) for phone in spoken] for spoken in WORDS.values()]
    return torch.tensor([[*row, *[-1] * (MOST - len(row))] for row in rows])
