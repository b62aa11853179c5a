"""ImageNet (Russakovsky et al. 2015, ILSVRC 2012): 1.28 million photographs of 1,000 classes, in its own layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._known import imagenet_classes, places
from ssl_models.datasets._pictures import arrangement, in_folder
from ssl_models.datasets._pictures.arrangement import Listing
from ssl_models.datasets._pictures.found import Found, Picture

INSIDE = ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
"""Where train/ and val/ lie in a folder: as the tars are unpacked, and as Kaggle lays them out."""
CLASS = "class"


def load(
    *,
    seed: int,
    source: str = "",
    size: int = 224,
    store: float = 1.15,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Images (N, 3, S, S) uint8, the short side scaled to S = size * store, and labels; classes are names of WordNet.

    source: a folder with train/nXXXXXXXX/*.JPEG and val/, or with Kaggle's ILSVRC/Data/CLS-LOC/ of these; else
      $COVEY_DATA/imagenet. The images of val/, which are the test split, lie in class folders as well, or all in val/
      itself beside imagenet_classes.KINDS, which tells their classes.
    size: images are used at size x size. store: how much larger they are stored, for crops to be taken from; 1 to 4.
    unreadable: "skip" names images that cannot be decoded in `Dataset.skipped`, "refuse" raises at the first.
    room: where images are written as they are decoded (Split.written).
    Raises FileNotFoundError where there is no such folder, as it is given to those who register only and cannot be
    downloaded here; ValueError for settings out of range, another layout, and validation images whose class is unknown.
    """
    from ssl_models.datasets._pictures import decoding

    decoding.check_settings(size, store, unreadable)
    listing = _listed(_place(source), seed)
    return decoding.read(listing, str(_place(source)), size=size, store=store, unreadable=unreadable, room=room)


def count(
    *, source: str = "", size: int = 224, store: float = 1.15, unreadable: str = "skip", seed: int = 0
) -> tuple[int, int]:
    """How many images `load` would open for train and test; it gives fewer where some cannot be read."""
    from ssl_models.datasets._pictures import decoding

    decoding.check_settings(size, store, unreadable)
    listing = _listed(_place(source), seed)
    return len(listing.train), len(listing.test)


def _place(source: str) -> Path:
    if place := places.folder("imagenet", source):
        return place
    further = "; it is given to those who register at image-net.org or kaggle.com, and is not downloaded here"
    raise places.missing("ImageNet", "imagenet/{train,val}/", further)


def files(*, source: str = "", **_: object) -> Iterator[tuple[str, Path | None]]:
    """The folder, the images and what tells the classes of val/, as `load` would read them; what it cannot by name."""
    place = _place(source)
    root = _root(place)
    yield "source", place
    for split in ("train", "val"):
        found = in_folder.find(root / split)
        for name, path in arrangement.opened(found, "", ""):
            yield f"{split}/{name}", path
    if not _in_classes(found):
        yield from imagenet_classes.files_of(_telling(place, root))


def _root(place: Path) -> Path:
    """The folder of train/ and val/."""
    root = next((place / inside for inside in INSIDE if (place / inside / "train").is_dir()), None)
    if root is None or not (root / "val").is_dir():
        raise ValueError(f"'{place}' must hold the folders train/ and val/, or ILSVRC/Data/CLS-LOC/ with these")
    return root


def _in_classes(val: Found) -> bool:
    return all("/" in picture.name for picture in val.pictures)


def _telling(place: Path, root: Path) -> list[Path]:
    """Folders that may hold what tells the classes of validation images."""
    return list(dict.fromkeys((place, root, *root.parents[:3])))


def _listed(place: Path, seed: int) -> Listing:
    root = _root(place)
    train, val = in_folder.find(root / "train"), in_folder.find(root / "val")
    pictures = [*_by_folder(train, root, "train"), *_validation(val, place, root)]
    several = (train, val)
    found = Found(
        pictures,
        "ImageNet's layout",
        tuple(left for one in several for left in one.left_out),
        tuple(text for one in several for text in one.skipped),
        tuple(note for one in several for note in one.notes),
    )
    return arrangement.arranged(found, source=str(place), seed=seed, folders=False)


def _validation(val: Found, place: Path, root: Path) -> list[Picture]:
    if _in_classes(val):
        return _by_folder(val, root, "val")
    found = imagenet_classes.of_validation(_telling(place, root))
    if not found:
        raise ValueError(
            f"'{root / 'val'}' has images beside each other, and nothing tells their classes: sort them into folders "
            f"of classes, or put one of these into '{place}': {imagenet_classes.KINDS}"
        )
    where, classes = found
    stems = [PurePosixPath(picture.name).stem for picture in val.pictures]
    if unknown := [stem for stem in stems if stem not in classes]:
        raise ValueError(f"'{where}' tells no class of {len(unknown):,} images of '{root / 'val'}', as of {unknown[0]}")
    return [
        replace(picture, name=f"val/{picture.name}", labels={CLASS: classes[stem]}, split="test")
        for picture, stem in zip(val.pictures, stems, strict=True)
    ]


def _by_folder(found: Found, root: Path, split: str) -> list[Picture]:
    """Pictures with the name of their first folder as the class."""
    if loose := next((picture.name for picture in found.pictures if "/" not in picture.name), ""):
        raise ValueError(f"'{root / split}' has images in no folder of a class, such as {loose}")
    return [
        replace(
            picture,
            name=f"{split}/{picture.name}",
            labels={CLASS: picture.name.partition("/")[0]},
            split="train" if split == "train" else "test",
        )
        for picture in found.pictures
    ]
