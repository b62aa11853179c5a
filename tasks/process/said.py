"""Lines on standard error that are said once a process, however often their reason comes up."""

from __future__ import annotations

import sys

_said: set[str] = set()


def say_once(line: str) -> None:
    """Prints a line, unless this process has printed it before."""
    if line not in _said:
        _said.add(line)
        print(line, file=sys.stderr, flush=True)
