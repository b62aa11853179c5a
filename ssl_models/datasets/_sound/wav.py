"""What the header of a WAV file tells of its size, and what is there: FFmpeg reads what is there without a word."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

UNKNOWN = (0, 2**32 - 1)
"""Sizes that a program writes before it knows how much there will be."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of sound that the header tells of, bytes that are there for them, and bytes behind that are no chunk."""

    told: int = 0
    there: int = 0
    behind: int = 0


def sizes(file: IO[bytes]) -> Sizes:
    """Of a RIFF file's first `data` chunk; all 0 where the file is another, or the header does not tell a size."""
    end = file.seek(0, 2)
    file.seek(0)
    if file.read(4) != b"RIFF":
        return Sizes()
    at = 12
    while (chunk := _chunk(file, at)) is not None:
        name, size = chunk
        if name == b"data":
            if size in UNKNOWN:
                return Sizes()
            after = at + 8 + size
            return Sizes(size, min(size, end - at - 8), _behind(file, after + after % 2, end))
        at += 8 + size + size % 2
    return Sizes()


def _behind(file: IO[bytes], at: int, end: int) -> int:
    """Bytes from `at` on that are not chunks, such as texts, but perhaps sound. Fewer than a chunk's header: none."""
    while (chunk := _chunk(file, at)) is not None:
        name, size = chunk
        if not all(32 <= letter < 127 for letter in name) or at + 8 + size > end:
            return end - at
        at += 8 + size + size % 2
    return 0


def _chunk(file: IO[bytes], at: int) -> tuple[bytes, int] | None:
    file.seek(at)
    header = file.read(8)
    return struct.unpack("<4sI", header) if len(header) == 8 else None
