"""Weighted k nearest neighbours on frozen features (Wu et al. 2018, arXiv:1805.01978, section 3.4).

numpy and faiss only: torch and faiss in one process crash on macOS (faiss #3401).
"""

from __future__ import annotations

from math import isfinite

import numpy as np
from numpy import ndarray

from ssl_models.protocols.intervals import accuracies
from ssl_models.protocols.score import Findings, Representation, Score

NEEDS = ("features", "labels")
QUERIES = 4096


def evaluate(
    representation: Representation,
    *,
    seed: int,  # noqa: ARG001 - the contract of a protocol; nothing is drawn here
    layers: str | list[str] = "pooled",
    neighbours: int = 200,
    temperature: float = 0.07,
) -> Findings:
    """Top-1 and top-5 over the test samples, each with its 95 % Wilson interval, for each of `layers`.

    A class scores sum over the k nearest training samples of that class of exp(cosine / temperature). The defaults
    are the paper's. Where there are fewer than `neighbours` training samples, all of them vote.
    Raises NeedsLabels (from the representation), ValueError for settings or features out of range.
    """
    names = _checked_layers(layers, representation.layers)
    if neighbours < 1:
        raise ValueError(f"neighbours = {neighbours} must be at least 1")
    if not isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature = {temperature} must be finite and above 0")
    labels, test_labels = (_checked_labels(representation, split) for split in ("train", "test"))
    scores: list[Score] = []
    for layer in names:
        train = _directions(representation, "train", layer, len(labels))
        test = _directions(representation, "test", layer, len(test_labels))
        scores += accuracies(
            layer, class_votes(train, labels, test, representation.classes, neighbours, temperature), test_labels
        )
    return Findings(scores)


def class_votes(
    train: ndarray, labels: ndarray, test: ndarray, classes: int, neighbours: int, temperature: float
) -> ndarray:
    """(M, K) votes for test (M, D) from train (N, D), both of unit length, with labels (N,)."""
    import faiss

    index = faiss.IndexFlatIP(train.shape[1])
    index.add(train)
    votes = np.zeros((len(test), classes))
    for begin in range(0, len(test), QUERIES):
        cosine, nearest = index.search(test[begin : begin + QUERIES], min(neighbours, len(train)))  # (B, k)
        # Less the largest, so that no temperature overflows; a common factor of a row does not change its order.
        weights = np.exp((cosine - cosine[:, :1]).astype(np.float64) / temperature)
        rows = np.arange(begin, begin + len(cosine))[:, None]
        np.add.at(votes, (rows, labels[nearest]), weights)
    return votes


def _directions(representation: Representation, split: str, layer: str, samples: int) -> ndarray:
    """(N, D) float32 of unit length; a zero vector stays zero."""
    features = np.array(representation.features(split, layer), np.float32, order="C")
    if features.ndim != 2 or len(features) != samples:
        raise ValueError(f"layer '{layer}' has {split} features of shape {features.shape} for {samples} labels")
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise ValueError(f"layer '{layer}' has {split} features that are not finite; train or extract it again")
    features /= np.maximum(lengths, np.finfo(np.float32).tiny)
    return features


def _checked_layers(layers: str | list[str], known: tuple[str, ...]) -> list[str]:
    names = [layers] if isinstance(layers, str) else list(layers)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"layers = {layers!r} must name at least one of {', '.join(known)}, and nothing else")
    return names


def _checked_labels(representation: Representation, split: str) -> ndarray:
    labels = np.asarray(representation.labels(split))
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= representation.classes:
        raise ValueError(f"the {split} labels must be at least one, each from 0 to {representation.classes - 1}")
    return labels
