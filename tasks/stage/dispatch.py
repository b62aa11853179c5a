"""What `python -m tasks WORDS` does, in whichever process it runs."""

from __future__ import annotations

import os
import sys

from tasks.process.fork_client import ADDRESS
from tasks.settings.schema import ParameterError


def run(arguments: list[str]) -> int:
    """Runs one stage, or what comes before or around one, in this process; returns its exit code.

    `call FUNCTION ARGUMENTS`: see tasks/stage/apart.py. `code`: code.json. `reproduce STAGE`: DVC on one stage. Else a
    stage. What the user can mend in a file is told without a trace.
    """
    try:
        return _run(arguments)
    except ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(arguments: list[str]) -> int:
    word = arguments[0] if arguments else ""
    if word == "reproduce":
        from tasks.staleness.reproduce import main

        return main(arguments[1:])
    os.environ.pop(ADDRESS, None)  # what a stage starts is a process of its own
    if word == "call":
        from tasks.stage.apart import main

        return main(arguments[1:])
    if word == "code":
        from tasks.staleness.code_hash import main
    else:
        from tasks.stage.run import main
    return main(arguments)
