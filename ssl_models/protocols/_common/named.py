"""What the samples in a protocol's picture are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ssl_models.protocols._common.score import Representation


def named(representation: Representation, picture: str, rows: Iterable[int]) -> dict[str, dict[str, list[Any]]]:
    """A table of the name of a picture: its test samples, numbered from 1 as they stand there, and their files.

    Empty where the names of files are not known.
    """
    files = representation.files("test")
    found = [files[int(row)] for row in rows] if files else []
    return {picture: {"sample": list(range(1, len(found) + 1)), "file": found}} if found else {}
