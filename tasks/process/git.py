"""Runs git as a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class GitError(RuntimeError):
    """git failed, or is not installed; the message is its error output."""


def git(folder: Path, *words: str, given: str | None = None, **environment: str) -> str:
    """The output of `git WORDS` in `folder`, without the last newline. given: standard input.

    GIT_OPTIONAL_LOCKS=0 avoids locks, since several stages may call git at the same time.

    Raises:
        GitError: git is not installed, or it failed.
    """
    settings = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", **environment}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], input=given, env=settings, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise GitError((getattr(error, "stderr", None) or str(error)).strip()) from error
    return done.stdout.removesuffix("\n")
