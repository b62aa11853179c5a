"""For torch alone: weights, a description of the encoder, and its code, for where this project is not installed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.artifacts.encoders import DESCRIPTION
from tasks.exporting.form import Loading, Sample
from tasks.exporting.networks import apply

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

LIBRARY = "pytorch"
ENCODERS: tuple[str, ...] = ()


def refusal(encoder: str, settings: Mapping[str, Any]) -> str:  # noqa: ARG001
    """ "": every encoder has this form."""
    return ""


def write(encoder: Encoder, sample: Sample, source: Path, folder: Path) -> Loading:
    """Writes weights, encoder.json and code."""
    from ssl_models.encoders import SAVED
    from tasks.artifacts.portable import write_code

    for name in (SAVED, DESCRIPTION):
        shutil.copyfile(source / name, folder / name)
    packages = write_code(folder, *encoder.files)
    return Loading(
        ("import sys", "", "import torch"),
        ('sys.path.append(".")', "from covey_encoder import load", 'model = load(".")'),
        apply(sample.given),
        tuple(packages),
        notes=("The folder holds the network's code; it needs no Covey.",),
    )
