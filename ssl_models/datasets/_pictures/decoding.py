"""Listed pictures -> a data set of squares, in memory or in files: decoded on all cores, with progress."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ssl_models.datasets._common import files, pictures
from ssl_models.datasets._common.choices import check_unreadable
from ssl_models.datasets._common.in_order import in_order
from ssl_models.datasets._common.progress import Progress
from ssl_models.datasets._common.split import IMAGES, Dataset, Origin, Split
from ssl_models.datasets._common.writer import Writer, writer
from ssl_models.datasets._pictures.arrangement import Entry, Listing, told
from ssl_models.datasets._pictures.facts import Facts, Failure
from ssl_models.datasets._pictures.found import Picture
from ssl_models.datasets._pictures.ranges import Ranges, ranges
from ssl_models.datasets._pictures.square import Square, square

SPARE, SPARE_STORED = 2, 1.25
"""How many times as large as it is stored a JPEG is decoded at the least, see square.py. The second holds where `store`
is above 1, as crops are scaled again: it takes a fifth less time. Pictures whose spectrum falls with the frequency are
within 45 dB of those made from the whole JPEG, or else within 36 dB."""
MOST_STORE = 4
"""Of `store`; beyond it, over sixteen times the pixels would be kept of those that are used."""


def check_settings(size: int, store: float, unreadable: str) -> None:
    """Raises ValueError for a setting out of range."""
    if size < 1:
        raise ValueError(f"size = {size} must be at least 1 pixel")
    if not 1 <= store <= MOST_STORE:
        raise ValueError(f"store = {store} must lie between 1 and {MOST_STORE}: pictures are stored at store x size")
    check_unreadable(unreadable)


def read(
    listing: Listing,
    source: str,
    *,
    size: int,
    store: float = 1.0,
    unreadable: str = "skip",
    room: Path | None = None,
    workers: int = 0,
) -> Dataset:
    """Images (N, 3, S, S) uint8 with S = round(size * store): the short side is scaled to S, and the middle is kept.

    source: only named in errors. store: where above 1, pictures are used at size x size (Dataset.size), the middle of
        what is stored. room: a folder; images are written there as they are decoded (Split.written), and never all in
        memory. workers: threads, 0 for one a core; the bytes are the same with any number of them.
    unreadable: "skip" names pictures that cannot be read in Dataset.skipped and counts them in Dataset.left_out,
        "refuse" raises at the first.
    A smaller picture is enlarged, and of a file that holds several the first is read; notes tell how many. Greys of
    more than 8 bits and floating-point numbers are scaled by the range of the whole data set, which a note tells.
    Raises ValueError for settings out of range and a split of which no picture can be read; OSError for a full disk.
    """
    check_settings(size, store, unreadable)
    refuse = unreadable == "refuse"
    if listing.skipped and refuse:
        raise ValueError(f"{source}: {listing.skipped[0]}")
    facts = Facts(round(size * store))
    work = partial(_try, side=facts.side, spare=SPARE if store == 1 else SPARE_STORED)
    given = {"train": listing.train, "test": listing.test}
    shape = (3, facts.side, facts.side)
    with ExitStack() as stack:
        stack.enter_context(
            warnings.catch_warnings(action="ignore", category=UserWarning)
        )  # of Pillow, by the thousand
        parts = [stack.enter_context(writer(len(given[name]), shape, _place(room, name))) for name in given]
        deep = stack.enter_context(ranges(facts.side, room))
        progress = stack.enter_context(closing(Progress("decoding", sum(map(len, given.values())), "pictures")))
        found = []
        for into, (name, entries) in zip(parts, given.items(), strict=True):
            found.append(taken := _Taken(into, deep))
            results = stack.enter_context(closing(in_order(work, entries, workers)))
            _take(entries, results, taken, facts, progress.step, refuse=refuse)
            if entries and not taken.entries:
                what = f"none of the {len(entries)} {'training' if name == 'train' else name} images could be read"
                raise ValueError(f"{source}: {what}; look at {facts.skipped[-1]}")
        deep.write()
        splits = [taken.split(listing, (IMAGES,) if room else ()) for taken in found]
    train, test = splits
    return Dataset(
        train,
        test,
        classes=listing.classes,
        skipped=(*listing.skipped, *facts.skipped),
        notes=(*listing.notes, *deep.notes(), *facts.notes()),
        label_sets=dict(listing.label_sets),
        left_out=(*listing.left_out, *facts.left_out()),
        size=size if store > 1 else None,
        what=told(listing) if listing.what else "",
    )


@dataclass
class _Taken:
    """What has been decoded of a split: its rows, and of each the entry and the size of the whole picture."""

    rows: Writer
    deep: Ranges
    entries: list[Entry] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def add(self, entry: Entry, found: Square) -> None:
        if found.values is None:
            self.rows.append(found.pixels)
        else:
            self.rows.append(np.zeros((3, *found.pixels.shape), np.uint8))
            self.deep.keep(self.rows, len(self.entries), found.pixels, found.values)
        self.entries.append(entry)
        self.sizes.append(found.size)

    def split(self, listing: Listing, written: tuple[str, ...]) -> Split:
        groups = tuple(entry.group for entry in self.entries)
        names = tuple(entry.name for entry in self.entries)
        origin = Origin(names, torch.tensor(self.sizes, dtype=torch.int32), groups if any(groups) else ())
        labels = torch.tensor([entry.label for entry in self.entries]) if listing.classes else None
        further = {
            f"labels.{name}": torch.tensor([entry.further[index] for entry in self.entries])
            for index, name in enumerate(listing.label_sets)
        }
        return Split({IMAGES: self.rows.finished()}, labels, truth=further, origin=origin, written=written)


def _place(room: Path | None, split: str) -> Path | None:
    return None if room is None else room / f"{split}.{IMAGES}.npy"


def _take(
    entries: Sequence[Entry],
    results: Iterable[Square | Failure],
    taken: _Taken,
    facts: Facts,
    step: Callable[[], None],
    *,
    refuse: bool,
) -> None:
    """Takes up what came of the entries of a split, in their order. step: called after each."""
    for entry, found in zip(entries, results, strict=True):
        if isinstance(found, Square):
            facts.add(found)
            taken.add(entry, found)
        elif refuse:
            raise ValueError(f"{files.printable(entry.name)} cannot be read as an image: {found.reason}")
        else:
            facts.fail(entry.name, found)
        step()


def _try(entry: Entry, side: int, spare: float) -> Square | Failure:
    try:
        return square(entry.content, side, spare)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many types for broken files: OSError, SyntaxError, struct.error
        return Failure(pictures.reason(error), pictures.kind(error))


def short_sides(entries: Sequence[Entry | Picture], most: int = 400) -> list[int]:
    """The short sides in pixels of at most so many pictures, evenly spaced, by the headers of those that are read."""
    chosen = entries if len(entries) <= most else [entries[index * len(entries) // most] for index in range(most)]
    return [side for side in in_order(_short_side, chosen) if side]


def usual_side(entries: Sequence[Entry | Picture], most: int = 400) -> int | None:
    """The median of `short_sides`, None where there is none."""
    sides = short_sides(entries, most)
    return statistics.median_low(sides) if sides else None


def _short_side(entry: Entry | Picture) -> int:
    try:
        with pictures.opened(entry.content() if callable(entry.content) else entry.content) as image:
            return min(image.size)
    except MemoryError:
        raise
    except Exception:  # whose reason is told when it is decoded
        return 0
