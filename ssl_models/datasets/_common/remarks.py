"""What is odd about files that are read, gathered into a line for each kind of it."""

from __future__ import annotations

from ssl_models.datasets._common import files


class Remarks:
    """What is odd about files that are read; notes() gives a line for each kind of it. noun: what one file is."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._found: dict[str, list[str]] = {}

    def add(self, kind: str, name: str, detail: str = "") -> None:
        """kind: as in "3 recordings are KIND". detail: of this one."""
        self._found.setdefault(kind, []).append(f"{files.printable(name)}{f' ({detail})' if detail else ''}")

    def notes(self) -> tuple[str, ...]:
        """Such as "3 recordings are silent throughout, and kept: a.wav (0.50 s), and 2 more"."""
        return tuple(
            f"{len(names):,} {self._noun}{' is' if len(names) == 1 else 's are'} {kind}: {names[0]}"
            f"{f', and {len(names) - 1:,} more' if len(names) > 1 else ''}"
            for kind, names in sorted(self._found.items())
        )
