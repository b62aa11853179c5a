"""Where a well-known data set is looked for: `source`, $COVEY_DATA, and torchvision's downloads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def data_folder() -> Path | None:
    """$COVEY_DATA, None where it is not set."""
    given = os.environ.get("COVEY_DATA")
    return Path(given) if given else None


def folder(name: str, source: str) -> Path | None:
    """The folder `source`, else $COVEY_DATA/<name>; None where neither is a folder."""
    given = Path(source).expanduser()
    if source and given.is_dir():
        return given
    data = data_folder()
    return data / name if data and (data / name).is_dir() else None


def archive(name: str) -> Path | None:
    """$COVEY_DATA/<name>.tar.gz, None where there is none."""
    data = data_folder()
    return data / f"{name}.tar.gz" if data and (data / f"{name}.tar.gz").is_file() else None


def downloads() -> Path:
    """$COVEY_DOWNLOADS, by default .covey/downloads."""
    return Path(os.environ.get("COVEY_DOWNLOADS") or ".covey/downloads")


def fetched(title: str, kinds: str, fetch: Callable[[Path], T]) -> T:
    """What `fetch` gives, which has torchvision download the data set to the folder of downloads.

    title: of the data set. kinds: what it would be in $COVEY_DATA, such as "cifar10/ or cifar10.tar.gz".
    Raises FileNotFoundError with all places where it may be put for whatever fails: no network, a proxy's page of
    errors, a wrong checksum, no torchvision.
    """
    try:
        return fetch(downloads())
    except MemoryError:
        raise
    except Exception as error:
        raise missing(
            title, kinds, f", nor could it be downloaded to '{downloads()}' ({type(error).__name__}: {error})"
        ) from error


def missing(title: str, kinds: str, further: str) -> FileNotFoundError:
    """The error for a data set that is nowhere."""
    data = data_folder()
    place = f"'{data}'" if data else "not set"
    return FileNotFoundError(
        f"{title} was found neither in `source` (no folder), nor as {kinds} in $COVEY_DATA ({place}){further}. Put it "
        "in one of these places."
    )
