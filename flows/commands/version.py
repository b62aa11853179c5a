"""`covey --version`: the version, and in a checkout its commit."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from tasks.project.project import Project
from tasks.settings.schema import CODE
from tasks.tracking.keys import source_commit

NAME = "covey"


def text() -> str:
    """ "covey 0.2.0 (1f0a5c9e2b37-dirty)"; without a commit where this is no checkout."""
    try:
        number = metadata.version(NAME)
    except metadata.PackageNotFoundError:
        number = "of an unknown version"
    root = CODE.parent
    commit, dirty, _ = source_commit(Project(root)).partition("-") if (root / ".git").exists() else ("none", "", "")
    return f"{NAME} {number}" + (f" ({commit[:12]}{dirty and '-dirty'})" if commit != "none" else "")


def _print(asked: bool) -> None:
    if asked:
        print(text())
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """The options of `covey` itself."""
