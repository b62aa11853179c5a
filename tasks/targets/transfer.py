"""Stage `transfer_target`: one protocol on one run's encoder and data of the protocol's own."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from ssl_models.extraction import POOLED, extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import read_encoder
from tasks.measuring.measure import measure
from tasks.measuring.representation import representation
from tasks.settings.params import TARGET, pick_out
from tasks.stage.context import Context, Result


def transfer(context: Context, run: str, target: str) -> Result:
    """encoder, a target's data -> metrics/<data>/<run>/<target>.json, and a folder of its pictures and curves."""
    block, data = context.parameters["targets"][target], Stored(context.project.target(target))
    encoder = read_encoder(context.places.encoder(run))

    @cache  # features are extracted where a protocol asks for them, once
    def extracted(split: str) -> dict[str, np.ndarray]:
        device = pick_device()
        images = torch.from_numpy(np.array(data.samples(split)))
        with autocast(resolve_precision(context.parameters["machine"]["precision"], device), device):
            batches = list(extract_features(encoder, images, device, **context.parameters["extract"]))
        return {layer: np.concatenate([batch[layer].numpy() for batch in batches]) for layer in batches[0]}

    layers = (*encoder.blocks(), POOLED)
    given = representation(context, run, data, layers, lambda split, layer: extracted(split)[layer])
    known = {name: data.description[name] for name in ("train", "test", "skipped")}
    return measure(context, run, target, block["protocol"], pick_out(block, TARGET), given, known)
