"""A data set of a user's own for params.yaml: its reader, its name, and the settings that the command line gives it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.settings import data_kinds, readers, source_places
from tasks.settings.schema import CODE, ParameterError, keywords, parse_yaml
from tasks.settings.values import plain

LARGEST = 224
"""Pixels: the size that a new data set of pictures gets at most; what most published encoders were trained with."""
STORE = 1.15
"""How much larger than used pictures are stored by their readers, unless their block says otherwise."""
TABLE = ".csv"
"""What a file ends in that `labels` or `group` name."""
VIDEOS, WITH_SOUND = "video_folder", "video_sound_folder"
"""The readers of a folder of videos: of frames alone, and of frames with their sound."""


@dataclass(frozen=True)
class Options:
    """What `covey run` says of a data set beside its name; None where it says nothing.

    sound: whether a folder of videos is read with its sound.
    """

    labels: str | None = None
    size: int | None = None
    group: str | None = None
    sound: bool = False

    def settings(self, root: Path) -> dict[str, Any]:
        """As they stand in the data set's block. Raises ParameterError for a table that is not there."""
        given = {"labels": self.labels, "size": self.size, "group": self.group}
        return {name: _settled(root, name, value) for name, value in given.items() if value is not None}


def found(wanted: str, known: Collection[str]) -> Path:
    """The folder, file or pattern of files that `--data` names; whatever the text holds, it is only looked for."""
    gone: str | None = wanted
    with suppress(OSError, RuntimeError, ValueError):  # too long a name, no such user's home, a NUL
        if wanted.strip() and (gone := source_places.missing(Path(), wanted)) is None:
            return Path(wanted).expanduser().resolve()
    further = "" if gone in (None, wanted) else f": there is no {plain(str(gone))}"
    raise ParameterError(
        f"--data {plain(wanted)}: this is neither a data set of params.yaml ({', '.join(known)}) nor a folder or a "
        f"file{further}."
    )


def reader(own: Path, source: str, sound: bool = False) -> str:
    """The reader of a folder, a file or a pattern. Raises ParameterError where there is none.

    sound: with the sound of videos; an error for what is no folder of videos.
    """
    from tasks.settings import recognised  # and numpy with it

    if (reader := recognised.reader_of(own)) is None:
        raise ParameterError(
            f"--data {plain(source)}: no reader reads such a file; name a folder of pictures, sounds or videos, a text "
            "(.txt, .txt.gz), a list of pictures (.txt), a table of pictures (.parquet), tars of pictures "
            "(NAME-{000..007}.tar), or a table of numbers (.npy, .npz, .csv). Of a video, name its folder."
        )
    if not sound:
        return reader
    if reader != VIDEOS:
        raise ParameterError(f"--sound goes with a folder of videos, and {plain(source)} is none.")
    return WITH_SOUND


def new_name(own: Path, taken: Callable[[str], bool]) -> str:
    """A name for the data set, after its folder or file."""
    bare = own.name.lower() if own.is_dir() else re.sub(r"\{.*?\}", "", own.name.lower()).partition(".")[0]
    stem = re.sub(r"\W+", "_", bare, flags=re.ASCII).strip("_") or "images"
    stem = stem if stem[0].isalpha() and parse_yaml(stem) == stem else f"images_{stem}"  # `no` is no text in YAML
    name, number = stem, 2
    while taken(name):
        name, number = f"{stem}_{number}", number + 1
    return name


def relative(root: Path, path: Path) -> str:
    """As it stands in params.yaml: from the project's folder where it lies in it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def suiting_size(root: Path, block: Mapping[str, Any], asked: int | None) -> dict[str, Any]:
    """The size for the pictures of a new block, which is told unless it is asked for; nothing where none can be told.

    With `store: 1.0` where the pictures are hardly larger than that: more would only enlarge them.
    """
    if (side := _side(root, block)) is None:
        return {}
    size = asked or suiting(side)
    if asked is None:
        print(f"size {size}: the usual short side is {side:,} pixels")
    return {"size": size} | _store(side, size)


def suiting_kind(root: Path, block: Mapping[str, Any], kinds: Collection[str]) -> dict[str, Any]:
    """The kind of a new block, where its reader tells another by what the file holds, and it is one of `kinds`."""
    if not readers.states(block, "kind"):
        return {}
    reader = readers.reader_of(block)
    with suppress(OSError, ValueError, RuntimeError, ImportError):  # told by who reads it
        if (found := reader.kind(**readers.settings_of(root, block, "describe"))) != reader.KIND and found in kinds:
            return {data_kinds.KIND: found}
    return {}


def store_of(root: Path, block: Mapping[str, Any], size: int) -> dict[str, Any]:
    """`store` as `suiting_size` gives it for another size of a block, unless the block says it itself.

    Raises ParameterError for a size over the usual short side of the pictures.
    """
    if (side := _side(root, block)) is None:
        return {}
    if size > side:
        raise ParameterError(
            f"--size {size}: the usual short side of the pictures of {plain(str(block['source']))} is {side:,} pixels, "
            f"and enlarging them adds nothing; give {suiting(side)} or less."
        )
    return {} if "store" in block else _store(side, size)


def _store(side: int, size: int) -> dict[str, Any]:
    return {"store": 1.0} if side < STORE * size else {}


def _side(root: Path, block: Mapping[str, Any]) -> int | None:
    """The usual short side of the pictures in pixels; None where the reader takes no size, or cannot tell."""
    if "size" not in keywords(CODE / "datasets" / f"{block['reader']}.py", "load"):
        return None
    module = import_module(f"ssl_models.datasets.{block['reader']}")
    if not hasattr(module, "side"):
        return None
    with suppress(OSError, ValueError, RuntimeError, ImportError):  # told by who reads it
        return module.side(**{**block, "source": str(root / Path(block["source"]).expanduser())})
    return None


def suiting(side: int) -> int:
    """The size for pictures of this short side: a multiple of 32, below 64 of 4; at most LARGEST."""
    step = 32 if side >= 64 else 4 if side >= 8 else 1
    return min(LARGEST, side // step * step)


def _settled(root: Path, name: str, value: str | int) -> str | int:
    if not isinstance(value, str) or not value.lower().endswith(TABLE):
        return value
    with suppress(OSError, RuntimeError, ValueError):
        if (path := Path(value).expanduser()).is_file():
            return relative(root, path.resolve())
    raise ParameterError(f"--{name} {plain(value)}: there is no such file.")
