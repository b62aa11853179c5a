"""What the folders in the names of pictures tell: train/ and test/, and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl_models.datasets._folder.listing import TEST_NAMES
from ssl_models.datasets._pictures.found import Picture


@dataclass(frozen=True)
class Layout:
    """pictures: those that are used. splits: "train" or "test" for each of them; empty where none are given.

    test_name: of the folder beside train/; "" where the names tell no splits. aside: pictures of each further folder
    of tests, which are not used.
    """

    pictures: Sequence[Picture]
    splits: Sequence[str] = ()
    test_name: str = ""
    aside: tuple[tuple[str, Sequence[Picture]], ...] = ()

    def folders(self, picture: Picture) -> list[str]:
        """The folders that a picture lies in, below train/ and test/ where these tell the split."""
        above = picture.name.split("/")[:-1]
        return above[1:] if self.test_name else above

    def classes(self) -> list[str] | None:
        """The class of each picture: its folder, if all lie exactly one deep, in two or more; else None."""
        own = [self.folders(picture) for picture in self.pictures]
        if any(len(folders) != 1 for folders in own) or len({folders[0] for folders in own}) < 2:
            return None
        return [folders[0] for folders in own]

    def described(self) -> str:
        """Of given splits: where they come from."""
        return f"train/ and {self.test_name}/" if self.test_name else "given splits" if self.splits else ""


def laid_out(pictures: Sequence[Picture], source: str, folders: bool) -> Layout:
    """The splits that the source itself tells (Picture.split), else those of train/ and test/, else none.

    folders: whether names may tell splits. test/ may be val/, valid/ or validation/ as well; only the first of them
    that is there is used. Raises ValueError for pictures outside these folders, and where some pictures have a split
    and others none.
    """
    if any(picture.split for picture in pictures):
        if odd := next((picture for picture in pictures if picture.split not in ("train", "test")), None):
            raise ValueError(f"'{source}': some pictures belong to a split, and '{odd.name}' to none")
        return Layout(pictures, [picture.split for picture in pictures])
    if not folders:
        return Layout(pictures)
    top = [picture.name.partition("/")[0] if "/" in picture.name else "" for picture in pictures]
    there = set(top)
    test_name = next((name for name in TEST_NAMES if name in there), "")
    if "train" not in there or not test_name:
        return Layout(pictures)
    for name, picture in zip(top, pictures, strict=True):
        if name not in ("train", *TEST_NAMES):
            what = f"the folder '{name}'" if name else f"the image '{picture.name}'"
            raise ValueError(
                f"'{source}' holds {what} next to train/ and {test_name}/; move it into one of them, or away"
            )
    used = [(name, picture) for name, picture in zip(top, pictures, strict=True) if name in ("train", test_name)]
    aside = tuple(
        (name, [picture for own, picture in zip(top, pictures, strict=True) if own == name])
        for name in TEST_NAMES
        if name in there and name != test_name
    )
    splits = ["train" if name == "train" else "test" for name, _ in used]
    return Layout([picture for _, picture in used], splits, test_name, aside)
