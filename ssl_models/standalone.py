"""A trained encoder read from its folder, by torch and safetensors alone; and as MLflow wants a model.

`tasks.artifacts.portable` copies this file, with the encoder's code, to where this project is not installed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from ssl_models.encoders import SAVED, build_encoder
from ssl_models.encoders.encoder import Encoder

if TYPE_CHECKING:
    import numpy

DESCRIPTION = "encoder.json"


def load(folder: str | os.PathLike[str]) -> Encoder:
    """The encoder in `folder`, on the CPU and in evaluation mode: (B, ...) -> (B, dim)."""
    described = json.loads((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
    encoder = build_encoder(described["name"], **described["settings"])
    encoder.load_state_dict(load_file(Path(folder) / SAVED))
    return encoder.eval()


class Predictor:
    """What mlflow.pyfunc wants of a model: arrays in, arrays out."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def predict(
        self, given: numpy.ndarray | Sequence[numpy.ndarray], params: dict[str, Any] | None = None  # noqa: ARG002
    ) -> numpy.ndarray:  # fmt: skip
        """(B, C, H, W) floats in [0, 1], sound (B, S) in [-1, 1], or int64 ids of words (B, L) -> (B, dim).

        Of an encoder that reads several parts, a list of the arrays of each, in the order of its `modalities`.
        """
        several = given if isinstance(given, list | tuple) else [given]
        with torch.inference_mode():
            inputs = map(torch.from_numpy, several)
            features: numpy.ndarray = self.encoder(
                *(one if one.dtype == torch.int64 else one.float() for one in inputs)
            ).numpy()
        return features


def _load_pyfunc(path: str) -> Predictor:
    """Called by mlflow.pyfunc.load_model with the folder of the model's files."""
    return Predictor(load(path))
