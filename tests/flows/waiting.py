"""Waiting for something that another process or thread does, for as long as a busy machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
PATIENCE = 120.0


def wait_until(condition: Callable[[], Found], seconds: float = PATIENCE) -> Found:
    """The condition's value once it is true; fails if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds:.0f} s: {condition}"
        time.sleep(0.02)
    return found
