"""How features lie on the sphere: uniformity, alignment, and whether two views of a sample have the same neighbours.

Features are of unit length here; a zero vector stays zero. Legend: N samples, D features, k neighbours.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy import ndarray

TIE = 1e-12
"""Squared distances that differ by less are equal: computing them is less exact than this difference."""


def directions(features: ndarray) -> ndarray:
    """(..., D) -> the same in float64, of unit length; a zero vector stays zero."""
    values = np.asarray(features, np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1))


def squared_distances(points: ndarray) -> ndarray:
    """(N, D) -> (N, N)."""
    centred = points - points.mean(0)  # else these would be differences of large numbers
    squares = np.square(centred).sum(1)
    found = squares[:, None] + squares - 2 * centred @ centred.T
    return np.asarray(np.maximum(found, 0, out=found))


def uniformity(kernel: ndarray) -> float:
    """log of the mean of exp(-2 |x - y|^2) over pairs (Wang & Isola 2020, section 4.1.2, t = 2), less is better.

    kernel: (N, N) of exp(-2 |x - y|^2), symmetric; a sample with itself is no pair. 0 for a constant, -4 for features
    spread evenly over a sphere of many dimensions.
    """
    samples = len(kernel)
    return float(np.log((kernel.sum() - np.trace(kernel)) / (samples * (samples - 1))))


def alignment(first: ndarray, second: ndarray) -> ndarray:
    """(N,): |x - y|^2 of two views (N, D) of each sample; their mean is the loss (section 4.1.1, alpha = 2)."""
    return np.asarray(np.square(first - second).sum(1))


def agreement(first: ndarray, second: ndarray, neighbours: int) -> tuple[float, float]:
    """How far the k nearest other samples are the same ones by two views' distances (N, N); and its standard error.

    (x - c) / (1 - c), x the mean share of the k nearest that are the same, c = k / (N - 1) that of samples at random. 1
    where all are the same, 0 by chance. Where several samples are equally far and not all of them are among the k, each
    view draws its own from them; x is the mean over these draws. So a constant has 0.

    x is a mean over pairs of samples, and pairs that have a sample in common depend on each other. The error is that of
    Aronow, Samii & Assenova 2015 (Political Analysis 23, equation 5) for such means, and at least that of samples which
    do not depend on each other. Resampling does badly here: repeated samples are each other's nearest, and a jackknife
    gives about one and a half times the deviation.
    """
    samples, chance = len(first), neighbours / (len(first) - 1)
    ones, others = _shares(first, neighbours), _shares(second, neighbours)
    shared = ones * others
    mean = shared.sum() / (samples * neighbours)
    # In the lists of its neighbours a sample takes the place of another one, of which as many would be shared.
    left = shared - mean * (ones + others) / 2
    pairs = left + left.T  # (N, N), symmetric: each pair twice
    together = np.square(pairs.sum(1)).sum() - np.square(pairs).sum() / 2
    variance = max(float(together), float(np.square(left.sum(1)).sum())) / (samples * neighbours) ** 2
    return float((mean - chance) / (1 - chance)), sqrt(variance) / (1 - chance)


def _shares(distances: ndarray, neighbours: int) -> ndarray:
    """(N, N) -> (N, N): how far each sample is one of the k nearest of the row's sample, which itself is none.

    1 for those that are nearer than the kth, and for those as far as the kth an equal part of what is left of k.
    """
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    last = np.partition(others, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
    nearer = others < last - TIE
    tied = (others <= last + TIE) & ~nearer
    parts = (neighbours - nearer.sum(1, keepdims=True)) / tied.sum(1, keepdims=True)
    return np.asarray(nearer + tied * parts)
