"""Labels, groups and splits of the pictures that a source holds, whatever its kind, before any is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ssl_models.datasets._common.split import LeftOut
from ssl_models.datasets._pictures.found import Content


@dataclass(frozen=True)
class Entry:
    """One picture of a split, not opened yet.

    name: relative to the source. label: an index into Listing.classes, -1 for none. further: its classes in the further
    sets of labels, an index for each of Listing.label_sets in their order, -1 for none. group: "" where none is known.
    """

    name: str
    content: Content
    label: int = -1
    further: tuple[int, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """The pictures of both splits, in the order in which they are decoded.

    classes: empty where there are no labels. label_sets: further sets of labels -> the names of their classes.
    what: what the source was taken for, with its labels and groups; skipped, left_out, notes: as in found.Found.
    """

    train: Sequence[Entry]
    test: Sequence[Entry]
    classes: tuple[str, ...] = ()
    label_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    what: str = ""
