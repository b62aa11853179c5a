"""Where a data set's source may lie: not where stages write, for DVC empties those folders before they start."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.settings.schema import ParameterError

WRITTEN = ("data", "runs", "metrics", "maps")
"""The folders of a project that stages write into."""


def missing(root: Path, source: str) -> str | None:
    """What is not there of a source: itself, or the first file of a pattern such as NAME-{000..007}.tar; else None.

    Raises OSError, ValueError and RuntimeError for what can be no path, and for braces that are no pattern.
    """
    path = root / Path(source).expanduser()
    if source and path.exists():
        return None
    if "{" in source:
        from ssl_models.datasets._pictures import shards

        if shards.is_pattern(path):
            first = shards.missing(path)
            return None if first is None else str(first)
    return source


def check_source(root: Path, source: str, where: str) -> None:
    """Raises ParameterError for a source in a folder that stages write into, or around the whole project.

    Folders are compared as the file system does: on one that ignores case, `data/Photos` is `data/photos`.
    """
    path = root / Path(source).expanduser()
    real = path.resolve()
    for folder in WRITTEN:
        written = root / folder
        if any(_same(above, written) for way in (path, real) for above in (way, *way.parents)):
            raise ParameterError(
                f"{where}: the source {source} lies in {folder}/, where Covey writes and empties folders. Move it to "
                "another place."
            )
    if root.resolve().is_relative_to(real):
        raise ParameterError(
            f"{where}: the source {source} holds the project itself with all that it writes. Name the folder of the "
            "data alone."
        )


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return one == other
