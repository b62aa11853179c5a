"""Pictures in WebDataset's tars, which are not unpacked: one, a folder of them, or a-{000..007}.tar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_models.datasets._common.choices import check_test_fraction
from ssl_models.datasets._pictures import arrangement, in_tars, label_sets, shards
from ssl_models.datasets._pictures.arrangement import Listing

if TYPE_CHECKING:
    from ssl_models.datasets._common.split import Dataset


def load(
    *,
    seed: int,
    source: str,
    column: str = "",
    size: int = 32,
    store: float = 1.15,
    labels: str = "auto",
    group: str = "",
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Images (N, 3, S, S) uint8: the short side is scaled to S = size * store, and the middle is kept.

    source: a plain .tar, a folder with *.tar at any depth, or NAME-{000..007}.tar, read in the order of their names. A
      sample's files have one name up to its first dot. Tars whose names hold the word train or test (or val, valid,
      validation), or that lie in such folders, are the splits; otherwise a part test_fraction, drawn with `seed` within
      each class, is the test split.
    column: the suffix of the picture where samples have several, such as "jpg" or "input.png".
    size: images are used at size x size. store: how much larger they are stored, for crops to be taken from; 1 to 4.
    labels: "auto": those of files .cls, .label, or .json with a "label" in it; else, of one tar, its class folders as
      in folder.py. "folders"; "none"; NAME.csv: as in folder.py, where an image's name is that of its member, after
      that of its tar where there are several, as if a tar were a folder.
    group, unreadable, room: as in folder.py.
    Raises FileNotFoundError and ValueError as folder.py does, and for a tar that is missing, compressed, damaged, or
    without a picture, for two files of one name in a tar, and for several pictures in a sample without `column`.
    """
    from ssl_models.datasets._pictures import decoding

    decoding.check_settings(size, store, unreadable)
    listing = _listed(source, column, labels, group, test_fraction, seed)
    return decoding.read(listing, source, size=size, store=store, unreadable=unreadable, room=room)


def count(
    *,
    source: str,
    column: str = "",
    size: int = 32,
    store: float = 1.15,
    labels: str = "auto",
    group: str = "",
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    seed: int = 0,
) -> tuple[int, int]:
    """How many images `load` would open for train and test; it gives fewer where some cannot be read."""
    from ssl_models.datasets._pictures import decoding

    decoding.check_settings(size, store, unreadable)
    listing = _listed(source, column, labels, group, test_fraction, seed)
    return len(listing.train), len(listing.test)


def told(
    *,
    source: str,
    column: str = "",
    labels: str = "auto",
    group: str = "",
    test_fraction: float = 0.2,
    seed: int = 0,
    **_: object,
) -> str:
    """What the files are taken for, in one line; no image is opened, but for `group: day`. Raises as `load`."""
    return arrangement.told(_listed(source, column, labels, group, test_fraction, seed))


def files(*, source: str, labels: str = "auto", group: str = "", **_: object) -> Iterator[tuple[str, Path | None]]:
    """The name and path of every file that `load` would open, tables of labels and groups first."""
    yield from arrangement.csv_files(labels, group)
    paths = in_tars.files_of(source)[0]
    root = shards.root_of(source, paths)
    for path in paths:
        yield path.relative_to(root).as_posix(), path


def side(*, source: str, column: str = "", **_: object) -> int | None:
    """The usual short side of the images in pixels, of those whose header can be read; None where none can."""
    from ssl_models.datasets._pictures import decoding

    return decoding.usual_side(in_tars.find(source, column=column).pictures, 256)


def _listed(source: str, column: str, labels: str, group: str, test_fraction: float, seed: int) -> Listing:
    check_test_fraction(test_fraction)
    tars = in_tars.files_of(source)
    found = in_tars.find_in(tars, source, column=column)
    listing = arrangement.arranged(
        found,
        source=source,
        labels=labels,
        group=group,
        test_fraction=test_fraction,
        seed=seed,
        folders=len(tars[0]) == 1 and not found.pictures[0].split,
    )
    return label_sets.in_source_order(listing, found)
