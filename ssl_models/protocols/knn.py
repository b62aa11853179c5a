"""Weighted k nearest neighbours on frozen features (Wu et al. 2018, arXiv:1805.01978, section 3.4).

numpy and faiss only: torch and faiss in one process crash on macOS (faiss #3401).
"""

from __future__ import annotations

from math import isfinite

import numpy as np
from numpy import ndarray

from ssl_models.nearest import nearest
from ssl_models.protocols._common.checks import checked_labels, checked_layers, shared_sources
from ssl_models.protocols._common.intervals import accuracies
from ssl_models.protocols._common.layer_directions import directions
from ssl_models.protocols._common.score import Findings, Representation, Score

NEEDS = ("features", "labels")
TITLE = "k-NN"
READING = (
    "Each test sample takes the weighted vote of its nearest training samples in feature space; nothing is trained, so "
    "it measures the geometry itself."
)
HEADLINE = "top1"
UNITS = {"top1": "share", "top5": "share"}


def evaluate(
    representation: Representation,
    *,
    seed: int,  # noqa: ARG001 - the contract of a protocol; nothing is drawn here
    layers: str | list[str] = "pooled",
    neighbours: int = 200,
    temperature: float = 0.07,
) -> Findings:
    """Top-1 and top-5 over the test samples, each with its 95 % Wilson interval, for each of `layers`.

    The score of a class is the sum of exp(cosine / temperature) over those of the k nearest training samples that have
    this class. The defaults are the paper's. With fewer than `neighbours` training samples all of them vote. Features
    are read in blocks, so that they may be larger than memory.
    Raises NeedsLabels (from the representation), ValueError for settings or features out of range.
    """
    names = checked_layers(layers, representation.layers)
    if neighbours < 1:
        raise ValueError(f"neighbours = {neighbours} must be at least 1")
    if not isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature = {temperature} must be finite and above 0")
    labels, test_labels = (checked_labels(representation, split) for split in ("train", "test"))
    scores, sources = list[Score](), shared_sources(representation)
    for layer in names:
        gallery = directions(representation, "train", layer, len(labels))
        queries = directions(representation, "test", layer, len(test_labels))
        votes = np.zeros((len(test_labels), representation.classes))
        for begin, cosine, rows in nearest(gallery, queries, neighbours):
            votes[begin : begin + len(rows)] = class_votes(cosine, labels[rows], representation.classes, temperature)
        scores += accuracies(layer, votes, test_labels, sources)
    return Findings(scores)


def class_votes(cosine: ndarray, labels: ndarray, classes: int, temperature: float) -> ndarray:
    """(B, K) votes of neighbours with cosines (B, k), the largest first, and labels (B, k)."""
    # The largest is subtracted, so that nothing overflows. This scales a row and does not change its order.
    weights = np.exp((cosine - cosine[:, :1]).astype(np.float64) / temperature)
    votes = np.zeros((len(cosine), classes))
    np.add.at(votes, (np.arange(len(cosine))[:, None], labels), weights)
    return votes
