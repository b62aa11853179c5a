"""Frozen features of every layer, computed once for all protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.hardware import place
from ssl_models.modalities.inputs import inputs
from ssl_models.modalities.pooling import pool

POOLED = "pooled"
"""The layer name of the encoder's own output."""

MOTION = "motion"
"""The layer name of how much the output deviates over the inputs of a sample, such as the frames of a clip."""

LARGEST = torch.finfo(torch.float16).max


def extract_features(
    encoder: Encoder,
    samples: Mapping[str, Tensor],
    device: torch.device,
    *,
    batch_size: int = 512,
    size: int = 512,
) -> Iterator[dict[str, Tensor]]:
    """Yields, batch after batch, layer -> (B, D) float16 on the CPU, with the encoder in evaluation mode.

    samples: part -> (N, ...) as stored. size: a layer is pooled to about this many numbers. Autocast is the caller's
    choice. Where a sample has several inputs, a layer is their mean, and `motion` the deviation of the last.
    Raises NeedsParts where the samples have nothing that the encoder reads.
    """
    if batch_size < 1 or size < 1:
        raise ValueError(f"batch_size {batch_size} and size {size} must be at least 1")
    read = [samples[part] for part in encoder.reads(samples)]
    place(encoder, device, channels_last=encoder.convolutional)  # not in inference mode: it can be trained on
    encoder.eval()
    for start in range(0, len(read[0]), batch_size):
        yield _features(encoder, [part[start : start + batch_size].to(device) for part in read], size)


def feature_layers(encoder: Encoder, samples: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of the layers that `extract_features` gives for such samples, from first to last."""
    few = {part: stored[:1] for part, stored in samples.items()}
    return tuple(next(iter(extract_features(encoder, few, torch.device("cpu")))))


@torch.inference_mode()
def _features(encoder: Encoder, batch: list[Tensor], size: int) -> dict[str, Tensor]:
    """The features of one batch."""
    single, several = encoder.folded(*(inputs(part) for part in batch))
    maps, vectors = encoder.represent(*single)
    found = {name: _mean(pool(activations.float(), size), several) for name, activations in maps.items()}
    last = vectors.float()
    if several > 1:
        found[MOTION] = last.view(-1, several, last.shape[1]).std(1, unbiased=False)
    found[POOLED] = _mean(last, several)
    return {name: features.clamp(-LARGEST, LARGEST).to(torch.float16).cpu() for name, features in found.items()}


def _mean(features: Tensor, several: int) -> Tensor:
    """(B * several, D) -> (B, D)."""
    return features if several == 1 else features.reshape(-1, several, features.shape[1]).mean(1)
