"""The reader that a data set's block names, and the settings that one of its functions is called with.

A reader may read by another one: `of` holds the block of that one, without the name and the source that both share.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.settings import schema
from tasks.settings.values import shown

TABLES = ("labels", "group")
"""Settings that may name a file of the user's own."""
OF = "of"


def opening(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block of the reader that opens the files: that of `of` with the block's source, or the block itself."""
    other = block.get(OF)
    if not isinstance(other, Mapping):
        return dict(block)
    return {**other, **{name: block[name] for name in ("name", "source") if name in block}}


def reader_of(block: Mapping[str, Any]) -> Any:
    """The module ssl_models/datasets/<reader>.py."""
    return import_module(f"ssl_models.datasets.{block['reader']}")


def states(block: Mapping[str, Any], function: str) -> bool:
    """Whether a block's reader has a function of this name; told from its source."""
    path = schema.CODE / "datasets" / f"{block.get('reader')}.py"
    return path.is_file() and f"\ndef {function}(" in schema.source(path)


def settings_of(root: Path, block: Mapping[str, Any], function: str, seed: int = 0) -> dict[str, Any]:
    """What a reader's function is called with; `source` and tables (.csv) count from the project's folder.

    Raises ValueError for one in the home of nobody.
    """
    accepted = inspect.signature(getattr(reader_of(block), function)).parameters
    known = dict(block) | {"seed": seed}
    settings = {name: value for name, value in known.items() if name in accepted}
    if isinstance(other := settings.get(OF), Mapping):
        settings[OF] = {**other, **_placed(root, other)}
    return settings | _placed(root, settings)


def _placed(root: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Those settings that name a place, from the project's folder."""
    names = [name for name in ("source", *tables(settings)) if name in settings]
    return {name: str(root / _expanded(name, settings[name])) for name in names}


def tables(block: Mapping[str, Any]) -> list[str]:
    """The settings of a data set's block that name a file (.csv)."""
    return [name for name in TABLES if str(block.get(name, "")).lower().endswith(".csv")]


def _expanded(setting: str, path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        words = "it begins with the home of a user whom this machine does not know; write the whole path"
        raise ValueError(f"{setting} = {shown(path)}: {words}") from None


def files(root: Path, block: Mapping[str, Any]) -> Iterator[tuple[str, Path | None]]:
    """Name and path of each file that decides what the reader reads; no path for what it names and does not open."""
    block = opening(block)
    found: Iterator[tuple[str, Path | None]] = reader_of(block).files(**settings_of(root, block, "files"))
    return found


def told(root: Path, block: Mapping[str, Any], seed: int) -> str:
    """What a reader takes the data set for, in one line; empty where it tells nothing."""
    block = opening(block)
    return str(reader_of(block).told(**settings_of(root, block, "told", seed))) if states(block, "told") else ""
