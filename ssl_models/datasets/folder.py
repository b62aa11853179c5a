"""A folder of images of any kind and size, with class folders, with splits, or with neither."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.datasets._common.split import Dataset, Split

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
TEST_NAMES = ("test", "val", "valid", "validation")
"""Names of the test split's folder, next to train/; the first that exists is read."""


@dataclass(frozen=True)
class Entry:
    """One image: its name relative to the source, its class (-1: none), and where or what it is."""

    name: str
    label: int
    content: Path | bytes


@dataclass(frozen=True)
class Listing:
    """The images of both splits, before any is opened. classes: empty where there are no labels."""

    train: list[Entry]
    test: list[Entry]
    classes: tuple[str, ...]


def load(*, seed: int, source: str, size: int = 32, test_fraction: float = 0.2, unreadable: str = "skip") -> Dataset:
    """Images (N, 3, size, size) uint8: the short side is scaled to `size`, and the middle is kept.

    source: a folder in one of these layouts, in sorted order:
      train/CLASS/* and test/CLASS/* (or val/, valid/, validation/; only the first of them that is there is read);
      CLASS/*, of which test_fraction of each class, drawn with `seed`, is the test split;
      images only: no labels, split in the same way. train/* and test/* without class folders have no labels either.
    Files whose suffix is not in SUFFIXES, and hidden ones, are not images and are skipped.
    unreadable: "skip" names images that cannot be decoded in `Dataset.skipped`, "refuse" raises at the first.
    A class that only the test split has is an error: it could not be learned. One that only train has is kept.
    Raises FileNotFoundError for a missing folder; ValueError for settings out of range, a mixed or nested layout,
    and a split without a readable image.
    """
    _check_settings(size, test_fraction, unreadable)
    root = Path(source).expanduser()
    return read(list_images(root, seed, test_fraction), str(root), size, unreadable)


def count(
    *, source: str, size: int = 32, test_fraction: float = 0.2, unreadable: str = "skip", seed: int = 0
) -> tuple[int, int]:
    """How many images `load` would open for train and test; it gives fewer where some cannot be read."""
    _check_settings(size, test_fraction, unreadable)
    listing = list_images(Path(source).expanduser(), seed, test_fraction)
    return len(listing.train), len(listing.test)


def read(listing: Listing, source: str, size: int, unreadable: str) -> Dataset:
    """Decodes a listing; `source` is only named in errors."""
    splits, skipped = [], []
    for part, entries in (("training", listing.train), ("test", listing.test)):
        images, kept, failed = _decode_all(entries, size, unreadable)
        if not len(kept):
            raise ValueError(f"{source}: none of the {len(entries)} {part} images could be read; look at {failed[0]}")
        labels = torch.tensor([entries[index].label for index in kept]) if listing.classes else None
        splits.append(Split(images, labels))
        skipped += failed
    return Dataset(splits[0], splits[1], listing.classes, tuple(skipped))


def list_images(root: Path, seed: int, test_fraction: float) -> Listing:
    """Determines the layout of a folder and lists its images, without opening them."""
    if not root.is_dir():
        raise FileNotFoundError(f"'{root}' is not a folder; `source` must name a folder of images")
    folders = _folders(root)
    test_name = next((name for name in TEST_NAMES if name in folders), None)
    if "train" in folders and test_name:
        return _given_splits(root, folders, test_name)
    by_class = _by_class(root)
    if not by_class:
        raise ValueError(f"'{root}' holds no images; files are taken by their suffix: {', '.join(sorted(SUFFIXES))}")
    classes = tuple(by_class) if len(by_class) > 1 else ()  # one subfolder alone makes no classes
    train: list[Entry] = []
    test: list[Entry] = []
    for label, files in enumerate(by_class.values()):
        entries = _entries(root, files, label if classes else -1)
        chosen = _chosen_for_test(len(entries), test_fraction, (seed, label))
        for index, entry in enumerate(entries):
            (test if index in chosen else train).append(entry)
    if not train or not test:
        total = len(train) + len(test)
        raise ValueError(
            f"'{root}' holds {total} images: too few to give {test_fraction} of each class to a test split"
        )
    return Listing(train, test, classes)


def decode(content: Path | bytes, size: int) -> ndarray:
    """One image of any mode and orientation as (3, size, size) uint8; transparent parts lie on white."""
    from PIL import Image, ImageOps

    with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as image:
        image.draft(None, (2 * size, 2 * size))  # a JPEG far larger than that is decoded at a fraction of its size
        picture = _as_rgb(ImageOps.exif_transpose(image))
    if picture.size != (size, size):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture).transpose(2, 0, 1)


def _as_rgb(image: Image) -> Image:
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation

    if image.mode.startswith("I"):  # 16 bits a pixel, as Pillow's versions call it: I;16, I;16B, I
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) // 257
        return pillow.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("the range of an image of floating-point numbers is unknown; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = pillow.new("RGBA", image.size, "white")
        return pillow.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _decode_all(entries: Sequence[Entry], size: int, unreadable: str) -> tuple[Tensor, list[int], list[str]]:
    """Images (N, 3, size, size) uint8, the indices of the entries they came from, and the names of the others."""
    images = np.empty((len(entries), 3, size, size), np.uint8)
    kept: list[int] = []
    failed: list[str] = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for index, result in enumerate(pool.map(partial(_try_decode, size=size), entries)):
            if not isinstance(result, str):
                images[len(kept)] = result
                kept.append(index)
            elif unreadable == "refuse":
                pool.shutdown(cancel_futures=True)
                raise ValueError(f"{entries[index].name} cannot be read as an image: {result}")
            else:
                failed.append(entries[index].name)
    return torch.from_numpy(images[: len(kept)]), kept, failed


def _try_decode(entry: Entry, size: int) -> ndarray | str:
    """The image, or the reason why it cannot be read."""
    try:
        return decode(entry.content, size)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many types for broken files: OSError, SyntaxError, struct.error
        return f"{type(error).__name__}: {error}"


def _given_splits(root: Path, folders: list[str], test_name: str) -> Listing:
    """train/ and test/, each with class folders or each without."""
    others = [name for name in folders if name not in ("train", *TEST_NAMES) and _holds_images(root / name)]
    if others or _images(root):
        what = f"the folder '{others[0]}'" if others else f"the image '{_images(root)[0].name}'"
        raise ValueError(f"'{root}' holds {what} next to train/ and {test_name}/; move it into one of them, or away")
    train, test = _by_class(root / "train"), _by_class(root / test_name)
    for name, found in (("train", train), (test_name, test)):
        if not found:
            raise ValueError(f"'{root / name}' holds no images")
    if ("" in train) != ("" in test):
        raise ValueError(f"'{root}': one of train/ and {test_name}/ has class folders and the other has none")
    if extra := [name for name in test if name not in train]:
        raise ValueError(f"'{root / test_name}' has the class '{extra[0]}', of which '{root / 'train'}' has no images")
    classes = tuple(train) if "" not in train else ()
    label = {name: index if classes else -1 for index, name in enumerate(train)}
    listed = [
        [entry for name, files in split.items() for entry in _entries(root, files, label[name])]
        for split in (train, test)
    ]
    return Listing(listed[0], listed[1], classes)


def _by_class(folder: Path) -> dict[str, list[Path]]:
    """Class -> its image files, both sorted; {"": files} for images only, {} where there are none."""
    loose = _images(folder)
    by_class: dict[str, list[Path]] = {}
    for name in _folders(folder):
        if nested := [inner for inner in _folders(folder / name) if _holds_images(folder / name / inner)]:
            raise ValueError(
                f"'{folder / name / nested[0]}' lies too deep: images must lie in CLASS/, or in train/CLASS/ and "
                "test/CLASS/"
            )
        if files := _images(folder / name):
            by_class[name] = files
    if loose and by_class:
        raise ValueError(
            f"'{folder}' mixes images ('{loose[0].name}') with class folders ('{next(iter(by_class))}/'); put each "
            "image into a class folder, or all of them next to each other"
        )
    return {"": loose} if loose else by_class


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _holds_images(folder: Path) -> bool:
    return bool(_images(folder)) or any(_holds_images(folder / name) for name in _folders(folder))


def _entries(root: Path, files: list[Path], label: int) -> list[Entry]:
    return [Entry(path.relative_to(root).as_posix(), label, path) for path in files]


def _chosen_for_test(samples: int, test_fraction: float, seed: tuple[int, int]) -> set[int]:
    """The test samples of a class: at least one, and not all."""
    wanted = min(samples - 1, max(1, round(samples * test_fraction)))
    return set(np.random.default_rng(seed).permutation(samples)[:wanted].tolist())


def _check_settings(size: int, test_fraction: float, unreadable: str) -> None:
    if size < 1:
        raise ValueError(f"size = {size} must be at least 1 pixel")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction = {test_fraction} must lie between 0 and 1, both excluded")
    if unreadable not in ("skip", "refuse"):
        raise ValueError(f"unreadable = '{unreadable}' must be skip or refuse")
