"""Stage `extract`: the features of every layer for every sample, once for all protocols and for k-means."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np

from ssl_models.extraction import extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.rows import Samples
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import read_encoder
from tasks.artifacts.features import Features
from tasks.stage.context import Context, Result


def extract(context: Context, run: str) -> Result:
    """data, encoder -> runs/<data>/<run>/features/<split>.<layer>.npy, float16 (N, D)."""
    device, data = pick_device(), Stored(context.places.dataset)
    encoder, features = read_encoder(context.places.encoder(run)), Features(context.places.features(run))
    precision = resolve_precision(context.parameters["machine"]["precision"], device)
    started, total = time.perf_counter(), 0

    def batches(samples: Mapping[str, Samples]) -> Iterator[dict[str, np.ndarray]]:
        for batch in extract_features(encoder, samples, device, **context.parameters["extract"]):
            yield {layer: found.numpy() for layer, found in batch.items()}

    for split in ("train", "test"):
        with autocast(precision, device):
            total += features.write(split, batches(data.samples(split)), data.description[split])
    data.hand_on(features.folder)
    return Result(costs={"samples_per_second": total / (time.perf_counter() - started)})
