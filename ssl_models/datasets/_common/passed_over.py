"""Files that a reader does not read, counted by suffix and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ssl_models.datasets._common.split import OTHER, UNLABELLED, UNREADABLE, UNUSED, LeftOut
from ssl_models.datasets._common.tally import Tally

NAMELESS = "without a suffix"
MOST_TOLD = 4
"""Suffixes that a line tells by name."""


class PassedOver:
    """Counts; notes() gives a line for each suffix that is not read, left_out() all.

    what: one of those that the reader takes. Hidden files are not counted: no reader takes them, and what a file
    browser leaves behind must not change an output.
    """

    def __init__(self, what: str = "a picture") -> None:
        self._reason = f"no suffix of {what} that is read"
        self._tally = Tally()

    def add(self, name: str) -> None:
        """A file whose suffix is none of those that are read; with or without the folders that it lies in."""
        if not name.rpartition("/")[2].startswith("."):
            self._tally.add(name, self._reason, OTHER)

    def add_unreadable(self, name: str, reason: str, suffix: str) -> None:
        """A file that would be read by its suffix, but for a fault."""
        self._tally.add(name, reason, UNREADABLE, suffix)

    def left_out(self) -> tuple[LeftOut, ...]:
        """By suffix and reason."""
        return self._tally.left_out()

    def notes(self) -> tuple[str, ...]:
        """Such as "24 files of .mov passed over: no suffix of a picture that is read"."""
        return tuple(
            f"{one.count:,} file{'' if one.count == 1 else 's'} {f'of {one.suffix}' if one.suffix else NAMELESS} "
            f"passed over: {one.reason}"
            for one in self.left_out()
            if one.kind == OTHER
        )


def in_short(left_out: Iterable[LeftOut]) -> str:
    """ "126 left out: 121 .mov, 5 unreadable"; empty where nothing is."""
    suffixes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for one in left_out:
        if one.kind == OTHER:
            suffixes[one.suffix or NAMELESS] += one.count
        else:
            reasons[{UNLABELLED: f"with {one.reason}", UNUSED: one.reason}.get(one.kind, one.kind)] += one.count
    if not suffixes and not reasons:
        return ""
    told = suffixes.most_common(MOST_TOLD)
    parts = [f"{count:,} {suffix}" for suffix, count in told]
    if (rest := suffixes.total() - sum(count for _, count in told)) > 0:
        parts.append(f"{rest:,} of {len(suffixes) - len(told)} more suffixes")
    parts += [f"{count:,} {reason}" for reason, count in sorted(reasons.items())]
    return f"{suffixes.total() + reasons.total():,} left out: {', '.join(parts)}"
