"""Frozen features of every layer, computed once for all protocols."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.hardware import place
from ssl_models.modalities.image import pool, to_float

POOLED = "pooled"
"""The layer name of the encoder's own output."""

LARGEST = torch.finfo(torch.float16).max


def extract_features(
    encoder: Encoder,
    images: Tensor,
    device: torch.device,
    *,
    batch_size: int = 512,
    size: int = 512,
) -> Iterator[dict[str, Tensor]]:
    """Yields, batch after batch, layer -> (B, D) float16 on the CPU, with the encoder in evaluation mode.

    images: (N, ...) uint8. size: a layer is pooled to about this many numbers. Autocast is the caller's choice.
    """
    if batch_size < 1 or size < 1:
        raise ValueError(f"batch_size {batch_size} and size {size} must be at least 1")
    place(encoder, device, channels_last=encoder.convolutional)  # not in inference mode: it can be trained on
    encoder.eval()
    for start in range(0, len(images), batch_size):
        yield _features(encoder, images[start : start + batch_size].to(device), size)


@torch.inference_mode()
def _features(encoder: Encoder, batch: Tensor, size: int) -> dict[str, Tensor]:
    """The features of one batch."""
    maps = encoder.layers(to_float(batch))
    found = {name: pool(activations.float(), size) for name, activations in maps.items()}
    found[POOLED] = encoder.pool(maps[next(reversed(maps))]).float()
    return {name: features.clamp(-LARGEST, LARGEST).to(torch.float16).cpu() for name, features in found.items()}
