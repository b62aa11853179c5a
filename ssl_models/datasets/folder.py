"""A folder of images of any kind and size, at any depth, with labels and groups as the user says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_models.datasets._common.pictures import SUFFIXES as SUFFIXES
from ssl_models.datasets._pictures import arrangement, in_folder
from ssl_models.datasets._pictures.arrangement import Listing

if TYPE_CHECKING:
    from ssl_models.datasets._common.split import Dataset


def load(
    *,
    seed: int,
    source: str,
    size: int = 32,
    store: float = 1.15,
    labels: str = "auto",
    group: str = "",
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Images (N, 3, S, S) uint8: the short side is scaled to S = size * store, and the middle is kept.

    source: a folder. All files below it whose suffix is in SUFFIXES are images; `Dataset.left_out` counts the others by
      suffix. Hidden ones are ignored, links are followed. A link to nothing, a circle of links, a pipe, a socket, a
      device, what may not be read and a name that is not UTF-8 are never opened, and are named in `Dataset.skipped`.
      train/* and test/* (or val/, valid/, validation/; only the first of them that is there is read) are the splits;
      otherwise a part test_fraction, drawn with `seed` within each class, is the test split.
    size: images are used at size x size. store: how much larger they are stored, for crops to be taken from; 1 to 4.
    labels: "auto": class folders, where all images lie exactly one folder deep (below train/ and test/ where these
      are), in two or more of them; otherwise none. "folders": the first folder, however deep an image lies. "none".
      NAME.csv: a table with the column `file` (names relative to the source) and any number of columns of labels;
      images without a row are left out, and counted.
    group: what an image was taken with, which lies in one split whole. "": none. "folder": the folder that holds it.
      "day": of EXIF, else of the file's last change. NAME.csv: a table with the columns `file` and `group`.
    Greys of more than 8 bits are scaled by the bits that the largest value of the data set has.
    unreadable: "skip" names images that cannot be decoded in `Dataset.skipped`, "refuse" raises at the first.
    room: where images are written as they are decoded (Split.written).
    A class that only the test split has is an error: it could not be learned. One that only train has is kept.
    Raises FileNotFoundError for a missing folder or table; ValueError for settings out of range, a table that cannot be
    used (_pictures/tables.py), images beside train/ and test/, and a split without a readable image.
    """
    from ssl_models.datasets._pictures import decoding

    decoding.check_settings(size, store, unreadable)
    listing = _listed(source, labels, group, test_fraction, seed)
    return decoding.read(listing, _place(source), size=size, store=store, unreadable=unreadable, room=room)


def count(
    *,
    source: str,
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
    listing = _listed(source, labels, group, test_fraction, seed)
    return len(listing.train), len(listing.test)


def told(
    *, source: str, labels: str = "auto", group: str = "", test_fraction: float = 0.2, seed: int = 0, **_: object
) -> str:
    """What the folder is taken for, in one line; no image is opened, but for `group: day`. Raises as `load`."""
    return arrangement.told(_listed(source, labels, group, test_fraction, seed))


def files(*, source: str, labels: str = "auto", group: str = "", **_: object) -> Iterator[tuple[str, Path | None]]:
    """The name and path of every file that `load` would open, in a fixed order; no path where it would open none.

    Tables come first, by the name of their setting; then the images; then what is left out by its nature, as a link to
    nothing or a pipe. Raises FileNotFoundError and ValueError as `load` for a folder without images.
    """
    return arrangement.opened(in_folder.find(Path(source).expanduser()), labels, group)


def side(*, source: str, **_: object) -> int | None:
    """The usual short side of the images in pixels: the median of 256 headers; None where none can be read."""
    from ssl_models.datasets._pictures import decoding

    return decoding.usual_side(in_folder.find(Path(source).expanduser()).pictures, 256)


def _place(source: str) -> str:
    return str(Path(source).expanduser())


def _listed(source: str, labels: str, group: str, test_fraction: float, seed: int) -> Listing:
    return arrangement.arranged(
        in_folder.find(Path(source).expanduser()),
        source=_place(source),
        labels=labels,
        group=group,
        test_fraction=test_fraction,
        seed=seed,
    )
