"""CIFAR-10 and CIFAR-100: small photographs, from a folder, from an archive, or downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ssl_models.datasets import folder
from ssl_models.datasets._common import archive
from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.pictures import SUFFIXES
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._known import held_out, places
from ssl_models.datasets._known.arrays import entries
from ssl_models.datasets._pictures.arrangement import Entry, Listing

TRAIN, TEST = 50_000, 10_000
"""The counts of the whole data set."""


@dataclass(frozen=True)
class Cifar:
    """name: of the folder and the archive in $COVEY_DATA. title: in errors. unpacked: torchvision's folder of it."""

    name: str
    title: str
    unpacked: str

    def load(self, sets: Callable[..., tuple[Any, Any]], seed: int, source: str, size: int, share: float) -> Dataset:
        """As cifar10.load. sets: torchvision's two sets below a folder, downloaded to it but for `download=False`.

        share: of the training images that are held out.
        """
        held_out.require_share(share)
        return held_out.hold_out(self._whole(sets, seed, source, size), share, seed)

    def _whole(self, sets: Callable[..., tuple[Any, Any]], seed: int, source: str, size: int) -> Dataset:
        from ssl_models.datasets._pictures import decoding

        if size < 1:
            raise ValueError(f"size = {size} must be at least 1 pixel")
        if place := places.folder(self.name, source):
            if (place / self.unpacked).is_dir():
                return decoding.read(self._there(sets, place), str(place), size=size)
            return folder.load(seed=seed, source=str(place), size=size, store=1.0)
        if packed := places.archive(self.name):
            return decoding.read(_list_archive(packed), str(packed), size=size)
        found = places.fetched(self.title, f"{self.name}/ or {self.name}.tar.gz", sets)
        return decoding.read(_of_sets(*found), str(places.downloads()), size=size)

    def count(self, seed: int, source: str, share: float) -> tuple[int, int]:
        """As cifar10.count."""
        held_out.require_share(share)
        train, test = self._counts(seed, source)
        return held_out.counts(train, share) if share else (train, test)

    def _counts(self, seed: int, source: str) -> tuple[int, int]:
        place = places.folder(self.name, source)
        if place and not (place / self.unpacked).is_dir():
            return folder.count(source=str(place), seed=seed)
        if not place and (packed := places.archive(self.name)):
            listing = _list_archive(packed)
            return len(listing.train), len(listing.test)
        return TRAIN, TEST

    def files(self, source: str) -> Iterator[tuple[str, Path | None]]:
        """As cifar10.files."""
        if place := places.folder(self.name, source):
            yield "source", place
            if (place / self.unpacked).is_dir():
                for path in sorted((place / self.unpacked).iterdir()):
                    yield f"{self.unpacked}/{path.name}", path
            else:
                yield from folder.files(source=str(place))
        elif packed := places.archive(self.name):
            yield packed.name, packed

    def _there(self, sets: Callable[..., tuple[Any, Any]], place: Path) -> Listing:
        try:
            return _of_sets(*sets(place, download=False))
        except RuntimeError as error:
            raise ValueError(
                f"'{place / self.unpacked}' is not as {self.title} was published (torchvision: {error}); fetch it again"
            ) from error


def _of_sets(train: Any, test: Any) -> Listing:
    """torchvision's sets, in their order."""
    return Listing(
        entries("train", train.data, train.targets), entries("test", test.data, test.targets), tuple(train.classes)
    )


def _list_archive(path: Path) -> Listing:
    """The members .../{train,test}/CLASS/NAME.png with their bytes, sorted; other members are passed over."""
    found: dict[str, list[tuple[str, str, bytes]]] = {"train": [], "test": []}
    skipped: list[str] = []
    passed_over = PassedOver()

    def is_image(name: str) -> bool:
        parts = PurePosixPath(name).parts[-3:]
        if len(parts) < 3 or parts[0] not in found:
            return False
        taken = PurePosixPath(parts[2]).suffix.lower() in SUFFIXES and not parts[2].startswith(".")
        if not taken:
            passed_over.add(parts[2])
        return taken

    for name, content in archive.members(path, is_image, skipped):
        parts = PurePosixPath(name).parts[-3:]
        found[parts[0]].append((parts[1], "/".join(parts), content))
    classes = tuple(sorted({name for name, _, _ in found["train"]}))
    if not found["train"] or not found["test"] or not {name for name, _, _ in found["test"]} <= set(classes):
        raise ValueError(f"'{path}' must hold train/CLASS/*.png, and test/CLASS/*.png of the same classes")
    train, test = (
        [Entry(name, content, classes.index(label)) for label, name, content in sorted(found[split])]
        for split in ("train", "test")
    )
    return Listing(train, test, classes, skipped=tuple(skipped), left_out=passed_over.left_out())
