"""Windows of equal length that recordings of any length are cut into."""

from __future__ import annotations

import math
from dataclasses import dataclass

RATES = (1_000, 192_000)
"""The lowest and the highest rate, in Hz, that sound may be stored at."""
LONGEST = 600.0
"""Seconds of the longest window."""


@dataclass(frozen=True)
class Windows:
    """`size` samples each, one every `hop` samples, the first `most` of a recording; 0 for all of them.

    A recording has at least one. After its last full window the next is kept where at least half of it is sound and
    some of that is in no other window; what it lacks is zeros. Anything after that is left out.
    """

    size: int
    hop: int
    most: int = 0

    @property
    def needed(self) -> int:
        """The samples of a recording that can lie in a window; 0 for all."""
        return (self.most - 1) * self.hop + self.size if self.most else 0

    def count(self, samples: int) -> int:
        """How many windows a recording of so many samples gives."""
        if samples <= self.size:
            return 1
        full = (samples - self.size) // self.hop + 1
        covered, left = (full - 1) * self.hop + self.size, samples - full * self.hop
        found = full + (samples > covered and 2 * left >= self.size)
        return min(found, self.most) if self.most else found


def windows(rate: int, seconds: float, hop: float = 0.0, most: int = 0) -> Windows:
    """From settings in seconds; hop 0 is `seconds`. Raises ValueError for values out of range."""
    if not RATES[0] <= rate <= RATES[1] or rate != int(rate):
        raise ValueError(f"rate = {rate} must be a whole number from {RATES[0]:,} to {RATES[1]:,} Hz")
    if not math.isfinite(seconds) or not 1 / rate <= seconds <= LONGEST:
        raise ValueError(f"seconds = {seconds} must lie between one sample and {LONGEST:.0f} seconds")
    if hop and (not math.isfinite(hop) or hop * rate < 1):
        raise ValueError(f"hop = {hop} must be at least one sample, or 0 for windows next to each other")
    if most < 0:
        raise ValueError(f"most = {most} must be at least 1, or 0 for all windows of a recording")
    size = round(seconds * rate)
    return Windows(size, round(hop * rate) if hop else size, most)
