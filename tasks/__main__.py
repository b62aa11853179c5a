"""`python -m tasks STAGE [RUN [PROTOCOL]]`: what dvc.yaml calls. Without a fork server it runs right here."""

from __future__ import annotations

import sys

from tasks.process.fork_client import delegate
from tasks.process.parent_death import follow_the_chain
from tasks.stage.dispatch import run

if __name__ == "__main__":
    follow_the_chain()
    code = delegate(sys.argv[1:])
    sys.exit(run(sys.argv[1:]) if code is None else code)
