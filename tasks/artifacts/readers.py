"""Data sets as their readers load them: the reader that a block names, called with the block's settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_models.datasets._common.split import Dataset


ROOM = "room"
"""The keyword of a reader's `load` that is no setting: see `load` below."""
TABLES = ("labels", "group")
"""Settings that may name a file of the user's own."""


def reader_of(block: Mapping[str, Any]) -> Any:
    """The module ssl_models/datasets/<reader>.py."""
    return import_module(f"ssl_models.datasets.{block['reader']}")


def reader_settings(root: Path, block: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What the reader's `load` is called with; `source` and tables (.csv) count from the project's folder."""
    accepted = inspect.signature(reader_of(block).load).parameters
    settings = {name: value for name, value in block.items() if name in accepted} | {"seed": seed}
    if "source" in settings:
        settings["source"] = str(root / Path(settings["source"]).expanduser())
    for name in TABLES:
        if str(settings.get(name, "")).lower().endswith(".csv"):
            settings[name] = str(root / Path(settings[name]).expanduser())
    return settings


def told(root: Path, block: Mapping[str, Any], seed: int) -> str:
    """What a reader takes the data set for, in one line; empty where it tells nothing."""
    reader = reader_of(block)
    return str(reader.told(**reader_settings(root, block, seed))) if hasattr(reader, "told") else ""


def load(root: Path, block: Mapping[str, Any], seed: int, room: Path) -> Dataset:
    """The data set of a block, and a line for each entry that the reader left out.

    room: a folder into which a reader that can do so writes large parts as it reads (Split.written).
    """
    reader = reader_of(block)
    own = {ROOM: room} if ROOM in inspect.signature(reader.load).parameters else {}
    dataset: Dataset = reader.load(**reader_settings(root, block, seed), **own)
    for name in dataset.skipped:
        print(f"skipped: {name}")
    return dataset


def counts(dataset: Dataset) -> dict[str, float]:
    """How many samples there are, and how many entries were left out."""
    return {"train": len(dataset.train), "test": len(dataset.test), "skipped": len(dataset.skipped)}
