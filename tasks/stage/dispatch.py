"""What `python -m tasks WORDS` does, in whichever process it runs."""

from __future__ import annotations

import os

from tasks.process.fork_client import ADDRESS


def run(arguments: list[str]) -> int:
    """Runs one stage, or what comes before or around one, in this process; returns its exit code.

    `call FUNCTION ARGUMENTS`: see tasks/stage/apart.py. `code`: code.json. `reproduce STAGE`: DVC on one stage. Else a
    stage.
    """
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
