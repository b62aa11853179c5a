"""Whether a file or folder that a user names may be written, and what is said where it may not."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.process import user
from tasks.settings.schema import ParameterError
from tasks.settings.values import shown


def require_writable(file: Path, *, force: bool) -> None:
    """Raises ParameterError for a file that cannot be written. force: whether it may be there already."""
    try:
        str(file).encode()
        if file.is_dir():
            raise ValueError("it is a folder")
        if not file.parent.is_dir():
            raise ValueError("its folder is not there; make it first")
        if os.path.lexists(file) and not force:
            raise ValueError("it is there already; --force writes over it")
        if closed := user.not_writable([file.parent, file]):
            raise ValueError(f"user {os.getuid()} may not write {'it' if file in closed else 'into its folder'}")
    except (ValueError, OSError) as error:
        raise cannot(file, error) from None


def cannot(file: Path, error: Exception) -> ParameterError:
    """The error of a file that cannot be written, in words."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    words = "its name is not UTF-8" if isinstance(error, UnicodeEncodeError) else words
    return ParameterError(f"{name if (name := str(file)).isprintable() else shown(name)} cannot be written: {words}.")
