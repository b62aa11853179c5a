"""Encoders, one file each, looked up by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ssl_models.encoders.encoder import Encoder


def build_encoder(name: str, **settings: Any) -> Encoder:
    """The encoder that `ssl_models/encoders/<name>.py` offers as ENCODER, freshly initialised from the global RNG."""
    encoder: Encoder = import_module(f"ssl_models.encoders.{name}").ENCODER(**settings)
    return encoder
