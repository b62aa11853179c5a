"""Checks of a protocol's settings against the representation. numpy only, since knn.py uses it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common.split import SOURCE
from ssl_models.errors import NeedsParts, NeedsSamples, NeedsTruth, NoSuchLayer
from ssl_models.previews import PIXELS
from ssl_models.protocols._common.score import Representation
from ssl_models.rows import Samples


def checked_layers(layers: str | list[str], known: tuple[str, ...]) -> list[str]:
    """Raises NoSuchLayer for a name that the representation does not have, or none at all."""
    names = [layers] if isinstance(layers, str) else list(layers)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise NoSuchLayer(f"layers = {layers!r} must name at least one of {', '.join(known)}, and nothing else")
    return names


def refuse_other_than_pictures(representation: Representation, protocol: str) -> None:
    """Raises NeedsParts for samples that are known, and are no pictures; features alone may be those of pictures."""
    try:
        there = representation.samples("test")
    except NeedsTruth:
        return
    if not set(PIXELS) & set(there):
        raise NeedsParts(PIXELS, there, f"the protocol '{protocol}'")


def sources_of(samples: Mapping[str, Samples]) -> ndarray:
    """(N,) int64, which video or recording each sample was cut from; each its own where that is not known."""
    if SOURCE in samples:
        return np.asarray(samples[SOURCE])[:, 0].astype(np.int64)
    return np.arange(len(next(iter(samples.values()))))


def shared_sources(representation: Representation) -> ndarray | None:
    """(N,) the sources of the test samples; None where each is of its own, or nobody knows."""
    try:
        found = sources_of(representation.samples("test"))
    except NeedsTruth:
        return None
    return found if len(np.unique(found)) < len(found) else None


def checked_labels(representation: Representation, split: str) -> ndarray:
    """(N,) int64. Raises NeedsLabels (from the representation), NeedsSamples for no label, ValueError for no class."""
    return _checked_ids(representation.labels(split), representation.classes, f"{split} labels")


def checked_label_set(representation: Representation, split: str, name: str) -> ndarray:
    """(N,) int64, of one of `label_sets`. Raises as `checked_labels`."""
    labels = representation.truth(split, f"labels.{name}")
    return _checked_ids(labels, len(representation.label_sets[name]), f"{split} labels of the {name}")


def _checked_ids(given: ndarray, classes: int, name: str) -> ndarray:
    labels = np.array(given, np.int64)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        refused = ValueError if len(labels) else NeedsSamples
        raise refused(f"the {name} must be at least one, each from 0 to {classes - 1}")
    return labels
