"""git, called as a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class GitError(RuntimeError):
    """git failed, or is not installed; the text is what it said."""


def git(folder: Path, *words: str, given: str | None = None, **environment: str) -> str:
    """What `git WORDS` prints in `folder`, without the last line's end. given: its standard input.

    It takes no lock that it can do without (GIT_OPTIONAL_LOCKS=0), since several stages may ask at once.

    Raises:
        GitError: git is not there, or ended with an error.
    """
    settings = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", **environment}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], input=given, env=settings, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise GitError((getattr(error, "stderr", None) or str(error)).strip()) from error
    return done.stdout.removesuffix("\n")
