"""A folder of images of any kind and size, with class folders, with splits, or with neither."""

from __future__ import annotations

from pathlib import Path

from ssl_models.datasets._common.pictures import SUFFIXES as SUFFIXES
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._folder.listing import Wanted, list_files
from ssl_models.datasets._pictures import decoding
from ssl_models.datasets._pictures.arrangement import Entry, Listing

WANTED = Wanted(SUFFIXES, noun="image", what="a picture")


def load(
    *,
    seed: int,
    source: str,
    size: int = 32,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Images (N, 3, size, size) uint8: the short side is scaled to `size`, and the middle is kept.

    source: a folder in one of these layouts, in sorted order:
      train/CLASS/* and test/CLASS/* (or val/, valid/, validation/; only the first of them that is there is read);
      CLASS/*, of which test_fraction of each class, drawn with `seed`, is the test split;
      images only: no labels, split in the same way. train/* and test/* without class folders have no labels either.
    Files whose suffix is not in SUFFIXES are not images; `Dataset.notes` counts them. Hidden ones are ignored. Links
    are followed. A link to nothing, a circle of links, a pipe, a socket, a device, a file without permission and a name
    that is not UTF-8 are never opened, and are named in `Dataset.skipped`.
    Greys of more than 8 bits are scaled by the bits that the largest value of the data set has.
    unreadable: "skip" names images that cannot be decoded in `Dataset.skipped`, "refuse" raises at the first.
    room: a folder into which images are written as they are decoded.
    A class that only the test split has is an error: it could not be learned. One that only train has is kept.
    Raises FileNotFoundError for a missing folder; ValueError for settings out of range, a mixed or nested layout,
    and a split without a readable image.
    """
    decoding.check_settings(size, 1, unreadable)
    root = Path(source).expanduser()
    listing = _listed(root, seed, test_fraction)
    return decoding.read(listing, str(root), size=size, unreadable=unreadable, room=room)


def count(
    *, source: str, size: int = 32, test_fraction: float = 0.2, unreadable: str = "skip", seed: int = 0
) -> tuple[int, int]:
    """How many images `load` would open for train and test; it gives fewer where some cannot be read."""
    decoding.check_settings(size, 1, unreadable)
    listing = _listed(Path(source).expanduser(), seed, test_fraction)
    return len(listing.train), len(listing.test)


def _listed(root: Path, seed: int, test_fraction: float) -> Listing:
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction = {test_fraction} must lie between 0 and 1, both excluded")
    found = list_files(root, seed, test_fraction, WANTED)
    train, test = (
        [Entry(entry.name, entry.content, entry.label) for entry in entries] for entries in (found.train, found.test)
    )
    return Listing(train, test, found.classes, skipped=found.skipped, notes=found.notes)
