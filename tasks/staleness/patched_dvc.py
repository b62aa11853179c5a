"""DVC's command line with what Covey replaces in it: `python -m tasks.staleness.patched_dvc repro ...`."""

from __future__ import annotations

import sys

from tasks.staleness import dvc_internals


def main(arguments: list[str]) -> int:
    """What `dvc WORDS` does; returns its exit code. A DVC that Covey does not know stays as it is."""
    from dvc.cli import main as dvc

    dvc_internals.usable()
    return int(dvc(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
