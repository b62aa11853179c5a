"""Frozen features of every layer, computed once for all protocols."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder

POOLED = "pooled"
"""The layer name of the encoder's own output."""

LARGEST = torch.finfo(torch.float16).max


def pool_to(activations: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C * s * s) near `size` numbers, by average pooling to s x s; (B, D) stays as it is.

    Layers are compared at about equal size, as in Goyal et al. 2019 (arXiv:1905.01235, appendix on linear models),
    where every layer is pooled to about 9,000 numbers.
    """
    if activations.ndim == 2:
        return activations
    channels, height, width = activations.shape[1:]
    side = min(max(1, round((size / channels) ** 0.5)), height, width)
    return functional.adaptive_avg_pool2d(activations, side).flatten(1)


@torch.inference_mode()
def extract_features(
    encoder: Encoder,
    images: Tensor,
    device: torch.device,
    *,
    batch_size: int = 512,
    size: int = 512,
) -> Iterator[dict[str, Tensor]]:
    """Yields, batch after batch, layer -> (B, D) float16 on the CPU, with the encoder in evaluation mode.

    images: (N, ...) uint8. size: numbers a layer is pooled to, about. The caller chooses the autocast.
    """
    if batch_size < 1 or size < 1:
        raise ValueError(f"batch_size {batch_size} and size {size} must be at least 1")
    encoder = encoder.to(device).eval()
    if images.ndim == 4:
        encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for start in range(0, len(images), batch_size):
        inputs = images[start : start + batch_size].to(device).float() / 255
        maps = encoder.layers(inputs)
        found = {name: pool_to(activations.float(), size) for name, activations in maps.items()}
        found[POOLED] = encoder.pool(maps[next(reversed(maps))]).float()
        yield {name: features.clamp(-LARGEST, LARGEST).to(torch.float16).cpu() for name, features in found.items()}
