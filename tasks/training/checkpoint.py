"""A training's checkpoint on disk, read with a look at its check sums: torch itself does not compare them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from tasks.process.files import legible


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote into `path`, on the CPU. Raises UnreadableFile: cut short, damaged, or another form."""
    with legible(path):
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the check sum of {damaged} differs")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content["step"], int):
            raise ValueError("its step is no number")
        return content
