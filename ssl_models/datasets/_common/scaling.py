"""Pictures whose numbers have no range of their own, greys of over 8 bits and floating point: how they become 8 bits.

12 bits in files of 16 would be all but black, and each picture scaled by itself would lose which one is brighter. So
the largest grey of the data set tells the bits, and floating-point numbers go from its smallest to its largest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy import ndarray

SENSORS = (8, 10, 12, 14, 16)
"""Bits that cameras give; greys of 16 bits hold one of these, and greys of 32 bits any number of bits above."""
DARK = 64
"""Of 255, what 14 bits reach in the upper 8 of 16."""

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """The smallest and largest value of such a picture; floats: not integers."""

    low: float
    high: float
    floats: bool

    @staticmethod
    def of(values: ndarray) -> Range:
        """That of all values of a picture."""
        return Range(values.min().item(), values.max().item(), values.dtype.kind == "f")


@dataclass(frozen=True)
class Scale:
    """bits: of greys, with 2 ** bits - 1 as white. low, high: the floating-point numbers that are black and white."""

    bits: int = 16
    low: float = 0.0
    high: float = 1.0

    def of_8_bits(self, values: ndarray, *, floats: bool) -> ndarray:
        """The values as uint8. floats: they are of a picture of floating-point numbers, whatever their type is now."""
        if floats:
            scaled = (values.astype(np.float64) - self.low) * (255 / ((self.high - self.low) or 1))
            return scaled.round().clip(0, 255).astype(np.uint8)
        white = 2**self.bits - 1
        return (values.round().astype(np.int64).clip(0, white) * 255 // white).astype(np.uint8)


class Depths:
    """What is met while a data set is decoded, by any number of threads. scale: by which pictures are scaled meanwhile.

    colours: the largest value of each picture with 16 bits a colour, of which Pillow reads the upper 8.
    """

    def __init__(self, scale: Scale | None = None) -> None:
        self.scale, self.colours = scale or Scale(), list[int]()
        self._lock = Lock()
        self._largest: int | None = None
        self._floats: tuple[float, float] | None = None
        self._number = 0

    def meet(self, span: Range) -> None:
        """A picture whose numbers have that range."""
        with self._lock:
            if span.floats:
                low, high = self._floats or (span.low, span.high)
                self._floats = min(low, span.low), max(high, span.high)
                self._number += 1
            else:
                self._largest = max(self._largest or 0, int(span.high))

    def found(self) -> Scale:
        """The scale for all pictures that have been met."""
        usual = Scale()
        bits = usual.bits if self._largest is None else _bits_of(self._largest)
        return Scale(bits, *(self._floats or (usual.low, usual.high)))

    def notes(self) -> tuple[str, ...]:
        """How they are scaled, where these are not the usual 16 bits; and dark colours."""
        told = () if self._largest is None else _told_of_greys(self._largest)
        if self._floats:
            low, high = self._floats
            told += (
                f"floating-point numbers, in {self._number:,} picture{'' if self._number == 1 else 's'}: they go from "
                f"{low:.6g} to {high:.6g}, which are read as black and white",
            )
        return told + told_of_colours(self.colours)


def in_one_range(read: Callable[[Depths], T]) -> tuple[T, tuple[str, ...]]:
    """What `read` gives, with all its pictures by one scale; and notes. It is called again where that is not the usual.

    For readers that scale before they resize; _pictures/ranges.py decodes once, and scales what was resized.
    """
    depths = Depths()
    found = read(depths)
    scale, notes = depths.found(), depths.notes()
    if scale == depths.scale:
        return found, notes
    del found  # before the pictures are there twice
    return read(Depths(scale)), notes


def _bits_of(largest: int) -> int:
    """How many bits the greys of a data set have, by the largest of their values."""
    return next((bits for bits in SENSORS if largest < 2**bits), largest.bit_length())


def _told_of_greys(largest: int) -> tuple[str, ...]:
    if (bits := _bits_of(largest)) == 16:
        return ()
    return (
        f"greys of more than 8 bits: the largest value in the data set is {largest}, so they are read as {bits} bits, "
        f"with {2**bits - 1} as white",
    )


def told_of_colours(largest: Sequence[int]) -> tuple[str, ...]:
    """A note where all colours of 16 bits are dark: they cannot be scaled, as Pillow drops their lower 8 bits.

    largest: of each picture, the largest of the upper 8 bits.
    """
    if (brightest := max(largest, default=255)) >= DARK:
        return ()
    told = f"their upper 8 are read, and these are at most {brightest} of 255; save them with 8 bits"
    return (f"colours of 16 bits: {told}",)
