"""Files that a reader passes over without a fault of theirs, counted by suffix."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath

from ssl_models.datasets._common import files


class PassedOver:
    """Counts; notes() gives a line for each kind."""

    def __init__(self) -> None:
        self._suffixes: Counter[str] = Counter()
        self._hidden = 0

    def add(self, name: str) -> None:
        """A file whose suffix is none of a picture, or that is hidden."""
        if name.startswith("."):
            self._hidden += 1
        else:
            self._suffixes[files.printable(PurePath(name).suffix.lower())] += 1

    def notes(self) -> tuple[str, ...]:
        """Such as "24 files of .heic were passed over: no suffix of a picture that is read"."""
        lines = [
            f"{_files(number)} {f'of {suffix}' if suffix else 'without a suffix'} passed over: no suffix of a picture "
            "that is read"
            for suffix, number in sorted(self._suffixes.items())
        ]
        hidden = [f"{_files(self._hidden)} passed over: hidden, as the name begins with a dot"] if self._hidden else []
        return (*lines, *hidden)


def _files(number: int) -> str:
    return f"{number:,} file{'' if number == 1 else 's'}"
