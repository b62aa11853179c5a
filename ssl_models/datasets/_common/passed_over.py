"""Files that a reader passes over without a fault of theirs, counted by suffix."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath

from ssl_models.datasets._common import files


class PassedOver:
    """Counts; notes() gives a line for each suffix.

    what: one of those that the reader takes. Hidden files are not counted: no reader takes them, and what a file
    browser leaves behind must not change an output.
    """

    def __init__(self, what: str = "a picture") -> None:
        self._what = what
        self._suffixes: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """A file whose suffix is none of those that are read."""
        if not name.startswith("."):
            self._suffixes[files.printable(PurePath(name).suffix.lower())] += 1

    def notes(self) -> tuple[str, ...]:
        """Such as "24 files of .heic passed over: no suffix of a picture that is read"."""
        return tuple(
            f"{number:,} file{'' if number == 1 else 's'} {f'of {suffix}' if suffix else 'without a suffix'} passed "
            f"over: no suffix of {self._what} that is read"
            for suffix, number in sorted(self._suffixes.items())
        )
