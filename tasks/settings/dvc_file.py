"""The commands of dvc.yaml, as far as they can be read without DVC."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.settings import yaml_files
from tasks.settings.schema import ParameterError

NAME = "dvc.yaml"
MEND = f"`git checkout {NAME}` brings back the last that was committed"


def stages(root: Path) -> dict[str, Any]:
    """Command -> its entry; none where there is no file. Raises ParameterError for a file that holds no stages."""
    try:
        return _stages(yaml_files.content(root / NAME, NAME))
    except FileNotFoundError:
        return {}


@lru_cache(maxsize=4)
def _stages(text: bytes) -> dict[str, Any]:
    content = yaml_files.parse(text, NAME)
    found = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise ParameterError(f"{NAME}: it must be a mapping with 'stages', a mapping of commands; {MEND}.")
    return found
