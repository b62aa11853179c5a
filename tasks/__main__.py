"""`python -m tasks STAGE [RUN [PROTOCOL]]`: what dvc.yaml calls. Without a fork server it runs right here."""

from __future__ import annotations

import sys


def run(arguments: list[str]) -> int:
    """Runs one stage, or what comes before one (`check`, `code`), in this process; returns its exit code."""
    if arguments[:1] == ["check"]:
        from tasks.stage.dry_run import main
    elif arguments[:1] == ["code"]:
        from tasks.staleness.code_hash import main
    else:
        from tasks.stage.run import main
    return main(arguments)


if __name__ == "__main__":
    from tasks.process.parent_death import follow_the_chain
    from tasks.stage.fork_server import delegate

    follow_the_chain()
    code = delegate(sys.argv[1:])
    sys.exit(run(sys.argv[1:]) if code is None else code)
