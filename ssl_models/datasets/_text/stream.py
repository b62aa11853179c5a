"""The lines of a text file, plain or gzip, read piece by piece: a large file is never in memory as a whole."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ssl_models.datasets._common.archive import FREE_BYTES, RATIO

PIECE = 2**20
"""Bytes of a line that are read at once; a longer line comes in several pieces, cut at a space."""
GZIP = b"\x1f\x8b"
CONTINUED = bytes(range(0x80, 0xC0))
"""The bytes of a character of UTF-8 after its first."""
REPLACED = "\ufffd"


@dataclass
class Stream:
    """A file that is being read; files.fault tells whether it is one.

    So far: size: bytes of text; position: bytes of the file itself; bad: places that were not UTF-8, each replaced.
    """

    path: Path
    size: int = 0
    position: int = 0
    bad: int = 0

    def pieces(self) -> Iterator[tuple[str, bool]]:
        """A line or a part of one, and whether a line ends with it.

        Raises ValueError, which does not name the file, for what cannot be read as text: a binary file, UTF-16,
        what is named .gz and is no gzip, and a gzip file that ends early, is damaged or unpacks to more than
        archive.RATIO times its size.
        """
        try:
            packed = self._is_packed()
            most = FREE_BYTES + RATIO * self.path.stat().st_size if packed else None
            with self.path.open("rb") as file:
                for piece in _pieces(cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file):
                    self.size += len(piece)
                    self.position = file.tell()
                    if most is not None and self.size > most:
                        raise ValueError(f"it unpacks to over {most:,} bytes, more than {RATIO} times its size")
                    yield self._decoded(piece), piece.endswith(b"\n")
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"it cannot be read to its end ({error}); fetch it again") from error

    def _is_packed(self) -> bool:
        with self.path.open("rb") as file:
            start = file.read(2)
        if start and start != GZIP and self.path.suffix.lower() == ".gz":
            raise ValueError("it is named .gz, but is not gzip; rename it if it is plain text, or fetch it again")
        return start == GZIP

    def _decoded(self, piece: bytes) -> str:
        if b"\0" in piece:
            raise ValueError("it holds zero bytes, so it is binary or UTF-16; save it as text in UTF-8")
        try:
            return piece.decode()
        except UnicodeDecodeError:
            text = piece.decode(errors="replace")
            self.bad += text.count(REPLACED) - piece.count(REPLACED.encode())
            return text


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while read := stream.readline(PIECE):
        piece, rest = rest + read, b""
        if len(read) == PIECE and not read.endswith(b"\n"):
            cut = piece.rfind(b" ") + 1 or len(piece.rstrip(CONTINUED)) - 1 or len(piece)
            piece, rest = piece[:cut], piece[cut:]
        yield piece
    if rest:
        yield rest
