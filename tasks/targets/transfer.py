"""Stage `transfer_target`: one protocol on one run's encoder and data of the protocol's own."""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from ssl_models.extraction import extract_features, feature_layers
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.protocols._common.score import Representation
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import read_encoder
from tasks.measuring.measure import measure
from tasks.measuring.representation import representation
from tasks.settings.params import TARGET, pick_out
from tasks.stage.context import Context, Result

TOLD = ["train", "test", "skipped", "left_out"]
"""What the report says of a target's data, as the description has it."""


def transfer(context: Context, run: str, target: str) -> Result:
    """encoder, a target's data -> metrics/<data>/<run>/<target>.json, and a folder of its pictures and curves."""
    block, description = context.parameters["targets"][target], Stored(context.project.target(target)).description
    known = {name: description[name] for name in TOLD if name in description}
    settings = pick_out(block, TARGET)
    made = partial(other_data, context, run, target)
    return measure(context, run, target, block["protocol"], settings, made, known)


def other_data(context: Context, run: str, target: str) -> Representation:
    """A run's encoder and a target's data; features are extracted where a protocol asks for them, once."""
    data = Stored(context.project.target(target))
    encoder = read_encoder(context.places.encoder(run)).reading(data.shapes)

    @cache
    def extracted(split: str) -> dict[str, np.ndarray]:
        device = pick_device()
        with autocast(resolve_precision(context.parameters["machine"]["precision"], device), device):
            batches = list(extract_features(encoder, data.samples(split), device, **context.parameters["extract"]))
        return {layer: np.concatenate([batch[layer].numpy() for batch in batches]) for layer in batches[0]}

    layers = feature_layers(encoder, data.samples("train"))
    return representation(context, run, data, layers, lambda split, layer: extracted(split)[layer])
