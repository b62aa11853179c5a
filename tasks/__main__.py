"""`python -m tasks STAGE [RUN [PROTOCOL]]`: what dvc.yaml calls. Without a fork server it runs right here."""

from __future__ import annotations

import sys


def run(arguments: list[str]) -> int:
    """Runs one stage, or what comes before one (`check`, `code`), in this process; returns its exit code."""
    if arguments[:1] == ["check"]:
        from tasks.check import main
    elif arguments[:1] == ["code"]:
        from tasks.code import main
    else:
        from tasks.stage import main
    return main(arguments)


if __name__ == "__main__":
    from tasks.forkserver import delegate
    from tasks.lifeline import follow_the_chain

    follow_the_chain()
    code = delegate(sys.argv[1:])
    sys.exit(run(sys.argv[1:]) if code is None else code)
