"""A run's representation as protocols are given it: features, the encoder, and what is known of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_models.errors import NeedsTruth
from ssl_models.protocols._common.score import Representation
from tasks.artifacts import classifier
from tasks.artifacts.dataset import FACTORS, Stored

if TYPE_CHECKING:
    from tasks.stage.context import Context

CLUSTERS = "clusters"
READER = "tasks.artifacts.encoders"
"""Imported where a protocol asks for the encoder; the hash of its stage then covers it (see code_hash.py)."""


def representation(
    context: Context,
    run: str,
    data: Stored,
    layers: tuple[str, ...],
    features: Callable[[str, str], np.ndarray],
) -> Representation:
    """A run's encoder on some data. features: (split, layer) -> (N, D)."""
    description, folder = data.description, context.places.encoder(run)

    def truth(split: str, kind: str) -> Any:
        if kind == FACTORS:
            return data.factors(split)
        if kind == CLUSTERS:
            return _pseudo_labels(context, run, features(split, layers[-1]))
        return data.array(split, kind)

    def names(split: str) -> Sequence[str]:
        return data.origin(split).get("file", ())

    classes = tuple(description["classes"])
    return Representation(
        layers,
        features,
        data.labels,
        len(classes),
        classes,
        tuple(description.get("points", ())),
        lambda: import_module(READER).read_encoder(folder).reading(data.shapes),
        data.samples,
        truth,
        context.parameters["machine"]["precision"],
        description.get("known", {}),
        {name: tuple(classes) for name, classes in description.get("label_sets", {}).items()},
        names,
    )


def _pseudo_labels(context: Context, run: str, features: np.ndarray) -> np.ndarray:
    """(N,): which cluster a refit's own classifier puts each sample into."""
    folder = context.places.encoder(run)
    if run not in context.parameters["clusterfit"] or not classifier.has_classifier(folder):
        raise NeedsTruth(f"'{run}' has not learnt from clusters")
    decisions: np.ndarray = classifier.logits(folder, features).argmax(1)
    return decisions
