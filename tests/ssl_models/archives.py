"""Real data of $COVEY_DATA for tests, which are skipped where it is not there."""

import os
import tarfile
from pathlib import Path

import pytest


def archive(name):
    """Its path; skips the test where there is none."""
    path = Path(os.environ.get("COVEY_DATA", "nowhere")) / name
    if not path.is_file():
        pytest.skip(f"$COVEY_DATA has no {name}")
    return path


def unpacked(name, place):
    """The folder that it is unpacked into."""
    with tarfile.open(archive(name)) as content:
        content.extractall(place, filter="data")
    return place
