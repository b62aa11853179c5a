"""Encoders, one file each, looked up by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ssl_models.encoders.encoder import Encoder

SAVED = "encoder.safetensors"
"""What the folder of a trained encoder holds its weights in."""


def encoder_class(name: str) -> type[Encoder]:
    """The class that `ssl_models/encoders/<name>.py` offers as ENCODER."""
    found: type[Encoder] = import_module(f"ssl_models.encoders.{name}").ENCODER
    return found


def build_encoder(name: str, **settings: Any) -> Encoder:
    """An encoder of a file's ENCODER, freshly initialised from the global RNG."""
    return encoder_class(name)(**settings)
