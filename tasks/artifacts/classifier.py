"""The classifier that a trained encoder may have, beside it on disk; read without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.process.files import legible

HEAD = "head.safetensors"


def has_classifier(folder: Path) -> bool:
    """Whether the encoder in `folder` has a classifier of its own."""
    return (folder / HEAD).exists()


def logits(folder: Path, features: np.ndarray) -> np.ndarray:
    """(N, D) pooled features -> (N, K): what the classifier in `folder` says of them, in float32."""
    from safetensors.numpy import load_file

    with legible(folder / HEAD):
        head = load_file(folder / HEAD)
        weight, bias = head["weight"], head["bias"]
    found: np.ndarray = features.astype(np.float32) @ weight.T + bias
    return found
