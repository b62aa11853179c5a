"""Files in a tar or zip archive, read without unpacking it, within bounds: it may hold a thousand times its size."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from ssl_models.datasets._common import files

RATIO = 200
"""Bytes that may come of each byte of the archive. Pictures hardly shrink; texts do by 10 or 20 times."""
FREE_BYTES = 2**26
"""What may come of any archive, however small."""
PACKED: dict[bytes, Callable[..., IO[bytes]]] = {
    b"\x1f\x8b": cast(Callable[..., IO[bytes]], gzip.open),
    b"BZh": cast(Callable[..., IO[bytes]], bz2.open),
    b"\xfd7zXZ\x00": cast(Callable[..., IO[bytes]], lzma.open),
}
BROKEN_ZIP = (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, IndexError, struct.error)
"""What Python's zipfile raises for damage in a header."""
BROKEN = (tarfile.TarError, *BROKEN_ZIP, EOFError, OSError, zlib.error, lzma.LZMAError)

T = TypeVar("T")


def members(path: Path, wanted: Callable[[str], object], skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file whose name is wanted, in the archive's order, one in memory at a time.

    A wanted member that is too large, a link, a device, sparse or whose name is not UTF-8 is left out, and `skipped`
    gets a text for it. Raises ValueError where the archive cannot be read to its end, and where it unpacks to more than
    RATIO times its size.
    """
    with _told(path):
        if _is_zip(path):
            yield from _in_zip(path, wanted, skipped, _zip_content)
        else:
            yield from _in_tar(path, wanted, skipped, _content)


def names(path: Path, wanted: Callable[[str], object], skipped: list[str]) -> Iterator[str]:
    """The names that `members` gives, in the same order; the files themselves are passed over."""
    with _told(path):
        found: Iterator[tuple[str, None]]
        if _is_zip(path):
            found = _in_zip(path, wanted, skipped, lambda *_: None)
        else:
            found = _in_tar(path, wanted, skipped, lambda *_: None)
        yield from (name for name, _ in found)


def positions(path: Path, wanted: Callable[[str], object], skipped: list[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name, and first byte and length, of each file in a tar whose name is wanted; only headers are read.

    Leaves out and refuses what `members` does; raises ValueError for a compressed tar and a damaged header too.
    """
    with path.open("rb") as file:
        start = file.read(6)
    if any(start.startswith(magic) for magic in PACKED):
        raise ValueError(
            f"'{path}' is compressed, so what lies in it cannot be read by its position; unpack it to a plain .tar "
            "(gunzip, bunzip2, unxz) and name that"
        )
    with _told(path):
        end = yield from _in_tar(path, wanted, skipped, lambda _, member: (member.offset_data, member.size))
        with path.open("rb") as file:
            file.seek(end)
            if any(file.read(tarfile.BLOCKSIZE)):  # tarfile takes for the end what is no header
                raise tarfile.ReadError("a header is damaged or cut off")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except TooMuch as error:
        raise ValueError(f"'{path}', {error}") from error
    except BROKEN as error:
        raise ValueError(f"'{path}' cannot be read to its end ({str(error) or 'cut off'}); fetch it again") from error


class TooMuch(Exception):
    """An archive holds more than its size promises."""


class _Bounded:
    """A stream that refuses to unpack more than `most` bytes, or more than a member's at once.

    tarfile reads an extended header in one piece, of whatever size it says.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._most = stream, most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= files.MOST_BYTES + tarfile.RECORDSIZE:
            raise TooMuch(f"{size:,} bytes are to be read at once, more than {files.MOST_BYTES:,}")
        self.check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def check(self, position: int) -> None:
        """Raises TooMuch where `position` lies further than the archive's size allows."""
        if position > self._most:
            raise TooMuch(_too_much(self._most))

    def __enter__(self) -> _Bounded:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _in_tar(
    path: Path,
    wanted: Callable[[str], object],
    skipped: list[str],
    taken: Callable[[tarfile.TarFile, tarfile.TarInfo], T],
) -> Generator[tuple[str, T], None, int]:
    """Name and what is taken of each member; returns where the last one ends."""
    name = "its first member"
    try:
        with _unpacked(path) as stream, tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as archive:
            while member := archive.next():
                cast(Any, archive).members.clear()  # tarfile would keep every header
                name = f"the member '{files.printable(member.name)}'"
                stream.check(member.offset_data + member.size)  # before it is read or passed over
                if member.isdir() or not wanted(member.name):
                    continue
                if why := _fault(member):
                    skipped.append(f"{files.printable(member.name)}: {why}")
                else:
                    yield member.name, taken(archive, member)
            return archive.offset
    except TooMuch as error:
        raise TooMuch(f"{name}: {error}") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return cast(IO[bytes], archive.extractfile(member)).read()


def _in_zip(
    path: Path,
    wanted: Callable[[str], object],
    skipped: list[str],
    taken: Callable[[zipfile.ZipFile, zipfile.ZipInfo], T],
) -> Iterator[tuple[str, T]]:
    total, most = 0, _most(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = files.printable(member.filename)
            if member.is_dir() or not wanted(member.filename):
                continue
            if why := _zip_fault(member):
                skipped.append(f"{name}: {why}")
                continue
            if (total := total + member.file_size) > most:
                raise TooMuch(f"the member '{name}': {_too_much(most)}")
            yield member.filename, taken(archive, member)


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as content:
        return content.read(member.file_size)  # no more than the header tells, and bounded


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _zip_fault(member: zipfile.ZipInfo) -> str:
    mode = member.external_attr >> 16
    if member.flag_bits & 1:
        return "encrypted"
    if stat.S_ISLNK(mode):
        return "a link in the archive, not a file"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return "compressed in a way that is not known"
    return files.too_large(member.file_size) if member.file_size > files.MOST_BYTES else ""


def _most(path: Path) -> int:
    """Bytes that may come of an archive."""
    return FREE_BYTES + RATIO * path.stat().st_size


def _too_much(most: int) -> str:
    return (
        f"the archive unpacks to over {most:,} bytes, more than {RATIO} times its size; unpack it yourself if you "
        "trust it, and name the folder"
    )


def _unpacked(path: Path) -> _Bounded:
    with path.open("rb") as file:
        start = file.read(6)
    unpack = next((unpack for magic, unpack in PACKED.items() if start.startswith(magic)), open)
    return _Bounded(unpack(path, "rb"), _most(path))


def _fault(member: tarfile.TarInfo) -> str:
    if not files.is_utf8(member.name):
        return "its name is not UTF-8"
    if not member.isfile():
        return "a link in the archive, not a file" if member.islnk() or member.issym() else "not a file"
    if member.issparse():
        return "a sparse file, with gaps"
    return files.too_large(member.size) if member.size > files.MOST_BYTES else ""
