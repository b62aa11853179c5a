"""`covey --version`: the version, and in a checkout its commit."""

from __future__ import annotations

from typing import Annotated

import typer

from tasks.tracking import release


def text() -> str:
    """ "covey 0.2.0 (1f0a5c9e2b37-dirty)"; without a commit where this is no checkout."""
    commit = release.commit()
    return f"{release.NAME} {release.number() or 'of an unknown version'}" + (f" ({commit})" if commit else "")


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
