"""Where a data set's source may lie: not where stages write, for DVC empties those folders before they start."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.settings.schema import ParameterError

WRITTEN = ("data", "runs", "metrics")
"""The folders of a project that stages write into."""


def exists(source: Path) -> bool:
    """Whether there is such a file or folder; of a pattern such as NAME-{000..007}.tar, whether its first file is."""
    if source.exists():
        return True
    if "{" not in source.name:
        return False
    from ssl_models.datasets._pictures import shards

    return shards.is_pattern(source) and shards.expanded(source)[0].exists()


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
