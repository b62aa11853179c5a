"""A folder of images of any kind and size, with class folders, with splits, or with neither."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.datasets._common import files, pictures
from ssl_models.datasets._common.pictures import SUFFIXES as SUFFIXES
from ssl_models.datasets._common.pictures import Greys
from ssl_models.datasets._common.split import IMAGES, Dataset, Split
from ssl_models.datasets._folder.listing import Entry, Listing, Wanted, list_files

WANTED = Wanted(SUFFIXES, noun="image", what="a picture")


def load(*, seed: int, source: str, size: int = 32, test_fraction: float = 0.2, unreadable: str = "skip") -> Dataset:
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
    A class that only the test split has is an error: it could not be learned. One that only train has is kept.
    Raises FileNotFoundError for a missing folder; ValueError for settings out of range, a mixed or nested layout,
    and a split without a readable image.
    """
    _check_settings(size, test_fraction, unreadable)
    root = Path(source).expanduser()
    return read(list_files(root, seed, test_fraction, WANTED), str(root), size, unreadable)


def count(
    *, source: str, size: int = 32, test_fraction: float = 0.2, unreadable: str = "skip", seed: int = 0
) -> tuple[int, int]:
    """How many images `load` would open for train and test; it gives fewer where some cannot be read."""
    _check_settings(size, test_fraction, unreadable)
    listing = list_files(Path(source).expanduser(), seed, test_fraction, WANTED)
    return len(listing.train), len(listing.test)


def read(listing: Listing, source: str, size: int, unreadable: str) -> Dataset:
    """Decodes a listing; `source` is only named in errors."""
    if listing.skipped and unreadable == "refuse":
        raise ValueError(f"{source}: {listing.skipped[0]}")
    found, notes = pictures.in_one_range(lambda greys: _read(listing, source, size, unreadable, greys))
    return replace(found, notes=(*listing.notes, *notes))


def _read(listing: Listing, source: str, size: int, unreadable: str, greys: Greys) -> Dataset:
    splits, skipped = [], list(listing.skipped)
    for part, entries in (("training", listing.train), ("test", listing.test)):
        images, kept, failed = _decode_all(entries, size, unreadable, greys)
        if not len(kept):
            raise ValueError(f"{source}: none of the {len(entries)} {part} images could be read; look at {failed[0]}")
        labels = torch.tensor([entries[index].label for index in kept]) if listing.classes else None
        splits.append(Split({IMAGES: images}, labels))
        skipped += failed
    return Dataset(splits[0], splits[1], listing.classes, tuple(skipped))


def decode(content: Path | bytes, size: int, greys: Greys | None = None) -> ndarray:
    """One image of any mode and orientation as (3, size, size) uint8; transparent parts lie on white."""
    from PIL import Image, ImageOps

    with pictures.opened(content) as image:
        image.draft(None, (2 * size, 2 * size))  # a JPEG far larger than that is decoded at a fraction of its size
        picture = pictures.as_rgb(image, greys or Greys(), upright=True)
    if picture.size != (size, size):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture).transpose(2, 0, 1)


def _decode_all(
    entries: Sequence[Entry], size: int, unreadable: str, greys: Greys
) -> tuple[Tensor, list[int], list[str]]:
    """Images (N, 3, size, size) uint8, the indices of the entries they came from, and a text for each of the others."""
    images = np.empty((len(entries), 3, size, size), np.uint8)
    kept: list[int] = []
    failed: list[str] = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for index, result in enumerate(pool.map(partial(_try_decode, size=size, greys=greys), entries)):
            if not isinstance(result, str):
                images[len(kept)] = result
                kept.append(index)
            elif unreadable == "refuse":
                pool.shutdown(cancel_futures=True)
                raise ValueError(f"{files.printable(entries[index].name)} cannot be read as an image: {result}")
            else:
                failed.append(f"{files.printable(entries[index].name)}: {result}")
    return torch.from_numpy(images[: len(kept)]), kept, failed


def _try_decode(entry: Entry, size: int, greys: Greys) -> ndarray | str:
    """The image, or the reason why it cannot be read."""
    try:
        return decode(entry.content, size, greys)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many types for broken files: OSError, SyntaxError, struct.error
        return pictures.reason(error)


def _check_settings(size: int, test_fraction: float, unreadable: str) -> None:
    if size < 1:
        raise ValueError(f"size = {size} must be at least 1 pixel")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction = {test_fraction} must lie between 0 and 1, both excluded")
    if unreadable not in ("skip", "refuse"):
        raise ValueError(f"unreadable = '{unreadable}' must be skip or refuse")
