"""Features of mild views of samples, of any kind that has views (ssl_models/modalities)."""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.extraction import extract_features
from ssl_models.feeding import slices
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.modalities import mild_views
from ssl_models.protocols._common.score import Representation

BATCH = 256


def encoded(
    representation: Representation, rows: ndarray, layers: list[str], *, count: int, seed: int, smallest_crop: float,
    flip: float,
) -> dict[str, ndarray]:  # fmt: skip
    """Layer -> (V, N, D) float32: features of `count` views of each of these test samples, drawn with the seed.

    rows: (N,) ascending. smallest_crop, flip: of pictures; other kinds have the views of their file in modalities/.
    Raises NeedsTruth where there is no encoder or there are no samples, NeedsParts for samples that it does not read.
    """
    encoder, stored = representation.encoder(), representation.samples("test")
    names = encoder.reads(stored)
    shapes = [stored[name].shape[1:] for name in names]
    views = mild_views(encoder.modalities, shapes, smallest_crop=smallest_crop, flip=flip)
    generator, device = torch.Generator().manual_seed(seed), pick_device()
    found: dict[str, list[list[ndarray]]] = {layer: [[] for _ in range(count)] for layer in layers}
    for block in slices(len(rows), BATCH):
        parts = [torch.from_numpy(np.array(stored[name][rows[block]])) for name in names]
        for number in range(count):
            drawn = [_stored(view(part, generator)) for view, part in zip(views, parts, strict=True)]
            with autocast(resolve_precision(representation.precision, device), device):
                (batch,) = extract_features(encoder, dict(zip(names, drawn, strict=True)), device, batch_size=BATCH)
            for layer in layers:
                found[layer][number].append(batch[layer].float().numpy())
    return {layer: np.stack([np.concatenate(blocks) for blocks in each]) for layer, each in found.items()}


def _stored(view: Tensor) -> Tensor:
    """Of a type that samples are stored in: ids of words come out of a view as the encoder takes them."""
    return view.to(torch.int32) if view.dtype == torch.int64 else view
