"""Counts files that are left out, by suffix and reason."""

from __future__ import annotations

import os
from collections import Counter

from ssl_models.datasets._common import files
from ssl_models.datasets._common.split import LeftOut


def suffix_of(name: str) -> str:
    """In lower case; "" where a name, with or without the folders before it, has none."""
    return os.path.splitext(name)[1].lower()


class Tally:
    """The first file of each suffix and reason is the example."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._examples: dict[tuple[str, str, str], str] = {}

    def add(self, name: str, reason: str, kind: str, suffix: str | None = None) -> None:
        """A file. kind: see LeftOut. suffix: what it is counted under, where that is not its own."""
        key = suffix_of(name) if suffix is None else suffix, reason, kind
        self._counts[key] += 1
        if key not in self._examples:
            self._examples[key] = name

    def left_out(self) -> tuple[LeftOut, ...]:
        """Sorted by suffix and reason; names as they can be printed."""
        found = [
            LeftOut(files.printable(suffix), reason, count, files.printable(self._examples[suffix, reason, kind]), kind)
            for (suffix, reason, kind), count in self._counts.items()
        ]
        return tuple(sorted(found, key=lambda one: (one.suffix, one.reason)))
