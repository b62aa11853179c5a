"""What is met while pictures are decoded and their user should know: counts, notes, and those that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field

from ssl_models.datasets._common import files, pictures
from ssl_models.datasets._common.scaling import told_of_colours
from ssl_models.datasets._common.split import UNREADABLE, LeftOut
from ssl_models.datasets._common.tally import Tally
from ssl_models.datasets._pictures.square import Square


@dataclass(frozen=True)
class Failure:
    """Why a picture cannot be read: in words, and in the few by which such pictures are counted."""

    reason: str
    kind: str


@dataclass
class Facts:
    """Of the pictures of both splits. side: that at which they are stored."""

    side: int
    _smaller: int = 0
    _several: int = 0
    _colours: list[int] = field(default_factory=list)
    _failed: list[tuple[str, Failure]] = field(default_factory=list)

    def add(self, found: Square) -> None:
        """A picture that was decoded."""
        self._smaller += min(found.size) < self.side
        self._several += found.several
        self._colours += [] if found.colours is None else [found.colours]

    def fail(self, name: str, failure: Failure) -> None:
        """One that was not."""
        self._failed.append((files.printable(name), failure))

    @property
    def skipped(self) -> tuple[str, ...]:
        """A text for each picture that could not be read."""
        return tuple(f"{name}: {failure.reason}" for name, failure in self._failed)

    def left_out(self) -> tuple[LeftOut, ...]:
        """The pictures that could not be read, counted by suffix and reason."""
        tally = Tally()
        for name, failure in self._failed:
            needed = failure.kind in (pictures.NEEDS_HEIF, pictures.NEEDS_AVIF)
            tally.add(name, failure.kind if needed else f"unreadable: {failure.kind}", UNREADABLE)
        return tally.left_out()

    def notes(self) -> tuple[str, ...]:
        """How they differ from what their user may expect."""
        told = list(told_of_colours(self._colours))
        if self._smaller:
            be, was = ("picture is", "was") if self._smaller == 1 else ("pictures are", "were")
            told.append(f"{self._smaller:,} {be} smaller than {self.side} pixels and {was} enlarged")
        if self._several:
            hold = "file holds" if self._several == 1 else "files hold"
            told.append(f"{self._several:,} {hold} several pictures, of which the first is read")
        return tuple(told)
