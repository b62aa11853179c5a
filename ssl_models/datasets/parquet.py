"""Pictures in the rows of parquet files, as Hugging Face's data sets are downloaded: one file, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_models.datasets._common.choices import check_test_fraction
from ssl_models.datasets._pictures import arrangement, in_parquet, label_sets, shards
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

    source: a parquet file, NAME-{00..07}.parquet, or a folder with *.parquet at any depth, read in the order of their
      names a stretch of rows at a time. Files and folders named train and test (or val, valid, validation) are the
      splits; otherwise a part test_fraction, drawn with `seed` within each class, is the test split. A test split
      without labels gives way to validation.
    column: of the pictures: a struct with `bytes`, as Hugging Face writes it, or bytes. "": the only one that there is.
    size: images are used at size x size. store: how much larger they are stored, for crops to be taken from; 1 to 4.
    labels: "auto": columns that Hugging Face's description calls ClassLabel, by the names of their classes; else
      columns with a name such as label or class; else texts of few distinct values. The name of a column; "none";
      NAME.csv: as in folder.py, where an image's name is the `path` of its struct if these are unique, else FILE/ROW.
    group, unreadable, room: as in folder.py.
    Raises FileNotFoundError and ValueError as folder.py does, and for files without rows or a column of pictures, with
    several such and no `column`, and for what cannot be read as parquet; ImportError without pyarrow.
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
    paths = in_parquet.files_of(source)[0]
    root = shards.root_of(source, paths)
    for path in paths:
        yield path.relative_to(root).as_posix(), path


def side(*, source: str, column: str = "", **_: object) -> int | None:
    """The usual short side of the images in pixels, of those whose header can be read; None where none can."""
    from ssl_models.datasets._pictures import decoding

    return decoding.usual_side(in_parquet.find(source, column=column).pictures, 256)


def _listed(source: str, column: str, labels: str, group: str, test_fraction: float, seed: int) -> Listing:
    check_test_fraction(test_fraction)
    found = in_parquet.find(source, column=column, labels=labels)
    listing = arrangement.arranged(
        found, source=source, labels=labels, group=group, test_fraction=test_fraction, seed=seed, folders=False
    )
    return label_sets.in_source_order(listing, found)
