"""Files that a reader may open: whole ones of a bounded size; and their names in a form that can be printed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 2**29
"""The largest file, and the largest member of an archive, that is read."""
KINDS = {
    stat.S_IFIFO: "a pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
    stat.S_IFDIR: "a folder, not a file",
}


def printable(name: str) -> str:
    r"""A name as it can be printed and written to JSON: bytes that are not UTF-8 and control characters as \x.. ."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_utf8(name: str) -> bool:
    """Whether the name is UTF-8 on disk; Python holds other bytes as lone surrogates."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def fault(path: str | Path, most: int | None = MOST_BYTES) -> str:
    """Why `path` cannot be read as a file, without opening it: a pipe would block, a device might act. "": it can.

    most: bytes; None where the file is read piece by piece, however large it is.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        return _of_link(path, error)
    if not stat.S_ISREG(found.st_mode):
        return KINDS.get(stat.S_IFMT(found.st_mode), "not a file")
    if most is not None and found.st_size > most:
        return too_large(found.st_size)
    return "" if os.access(path, os.R_OK) else "no permission to read it"


def too_large(size: int) -> str:
    """What is said of a file or a member of so many bytes."""
    return f"it has {size:,} bytes, and at most {MOST_BYTES:,} are read"


def read(path: Path) -> bytes:
    """The content of a file. Raises ValueError saying why it cannot be read, FileNotFoundError where there is none."""
    if not os.path.lexists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if why := fault(path):
        raise ValueError(why)
    return path.read_bytes()


def _of_link(path: str | Path, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a circle of links"
    if os.path.islink(path) and error.errno == errno.ENOENT:
        return "a link to nothing"
    return error.strerror or str(error)
