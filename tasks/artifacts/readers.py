"""Data sets as their readers load them: the reader that a block names, called with the block's settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.settings.readers import reader_of, settings_of

if TYPE_CHECKING:
    from ssl_models.datasets._common.split import Dataset


ROOM = "room"
"""The keyword of a reader's `load` that is no setting: see `load` below."""


def load(root: Path, block: Mapping[str, Any], seed: int, room: Path) -> Dataset:
    """The data set of a block; to the log what it is taken for, what the reader left out, and what it notes.

    room: a folder into which a reader that can do so writes large parts as it reads (Split.written).
    """
    load = reader_of(block).load
    own = {ROOM: room} if ROOM in inspect.signature(load).parameters else {}
    dataset: Dataset = load(**settings_of(root, block, "load", seed), **own)
    if dataset.what:
        print(dataset.what)
    for name in dataset.skipped:
        print(f"skipped: {name}")
    for left in dataset.left_out:
        print(f"left out: {left.count:,} of {left.suffix or 'no suffix'} ({left.reason}), such as {left.example}")
    for note in dataset.notes:
        print(f"note: {note}")
    return dataset


def counts(dataset: Dataset) -> dict[str, float]:
    """How many samples there are, and how many entries were left out."""
    return {"train": len(dataset.train), "test": len(dataset.test), "skipped": len(dataset.skipped)}
