"""Which Covey this is: the number of the installed version, and the commit of its checkout."""

from __future__ import annotations

from importlib import metadata

from tasks.project.project import Project
from tasks.settings.schema import CODE
from tasks.tracking.keys import source_commit

NAME = "covey"
DIGITS = 12


def number() -> str:
    """ "0.2.0", or "" where it is not installed."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """ "1f0a5c9e2b37", with "-dirty" after it where tracked files differ; "" where the code is in no checkout."""
    root = CODE.parent
    found, dirty, _ = source_commit(Project(root)).partition("-") if (root / ".git").exists() else ("none", "", "")
    return "" if found == "none" else found[:DIGITS] + ("-dirty" if dirty else "")
