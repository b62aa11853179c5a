"""Who runs this process: a name and a home folder for a user whom the system does not know, as in many containers."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable
from pathlib import Path


def settle(home: Path) -> None:
    """Gives this process and its children USER and LOGNAME if the user has no name, and HOME if there is none.

    Python looks both up in the system's list of users, and DVC, torch and MLflow end with a trace if that fails.

    home: what HOME becomes. It is made when something is written to it.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = os.environ["LOGNAME"] = f"uid{os.getuid()}"
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(home)


def may(path: Path, rights: int) -> bool:
    """Whether this process has the rights (os.R_OK, os.W_OK, os.X_OK) on a path, by the user that it acts as."""
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def not_writable(paths: Iterable[Path]) -> list[Path]:
    """Those of the files and folders that are there and that this user may not write."""
    needed = {path: os.W_OK | (os.X_OK if os.path.isdir(path) else 0) for path in paths if os.path.exists(path)}
    return [path for path, rights in needed.items() if not may(path, rights)]
