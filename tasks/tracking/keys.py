"""Names and texts as MLflow takes them: its keys allow few characters, its values have a length."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from tasks.project.project import Project

KEY_LENGTH = 250
INPUT_TAGS = 40


def label(name: str) -> str:
    """A key that MLflow accepts: letters, digits and _-.:/ and blanks, shaped like a relative path, 250 at most.

    A name that has to be shortened ends in its hash, so that two such names stay two.
    """
    plain = posixpath.normpath(re.sub(r"[^\w.\-:/ ]", "_", name)).lstrip("./") or "_"
    if len(plain) <= KEY_LENGTH:
        return plain
    return f"{plain[: KEY_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def parameter_texts(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as flat texts: {"rate": {"start": 0.1}} -> {"rate.start": "0.1"}."""
    texts: dict[str, str] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping) and value:
            texts |= parameter_texts(value, f"{prefix}{name}.")
        else:
            texts[label(f"{prefix}{name}")] = value if isinstance(value, str) else json.dumps(value, default=str)
    return texts


def input_tags(inputs: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """Tags covey.input.<path> = hash for the first 40 inputs, and whether there are more."""
    paths = sorted(inputs)
    tags = {label(f"covey.input.{posixpath.normpath(path)}"): inputs[path] for path in paths[:INPUT_TAGS]}
    return tags, len(paths) > INPUT_TAGS


def source_commit(project: Project) -> str:
    """The commit checked out at `root`, with "-dirty" after it where tracked files differ; "none" outside of git."""
    import subprocess

    command = ["git", "-C", str(project.root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # Without it, looking for changes takes git's index lock, and stages that start together would see it taken.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "none"
    return done.stdout.strip()
