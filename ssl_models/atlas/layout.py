"""A place on a map for each sample: t-SNE (van der Maaten & Hinton 2008, JMLR 9) of its features.

numpy, scikit-learn, faiss and openTSNE only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N samples, D features, P principal components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.directions import Directions

COMPONENTS = 50
EXACT = 10_000
"""The most samples that scikit-learn lays out; its time grows with N log N, that of openTSNE hardly at all."""
SMALLEST = 20
"""Fewer samples have too few neighbours for t-SNE: they are laid out by their principal components."""
PERPLEXITY = 30.0
ALIKE = 1e-6
"""Features whose spread is below this share of their size are all the same."""
START = 1e-4
"""Standard deviation of the first coordinate from which t-SNE starts, as in scikit-learn."""


@dataclass(frozen=True)
class Layout:
    """points: (N, 2) float32. method: how they were found, for a reader."""

    points: ndarray
    method: str


def coordinates(features: ndarray, *, seed: int, threads: int = 1) -> ndarray:
    """(N, D) of any float type -> (N, 2) float32, see `lay_out`."""
    return lay_out(features, seed=seed, threads=threads).points


def lay_out(features: ndarray, *, seed: int, threads: int = 1) -> Layout:
    """t-SNE of the directions of features (N, D), N >= 1, that start from the first two principal components.

    Up to 10,000 samples by scikit-learn (Barnes-Hut), above by openTSNE (Poličar et al. 2024, JSS 109(3)) with
    FIt-SNE's interpolation (Linderman et al. 2019, doi:10.1038/s41592-018-0308-4) over exact nearest neighbours. Fewer
    than 20 samples stand at their first two principal components, and features that are all alike at zero.
    The same seed and number of threads give the same map.
    Raises ValueError for features of another shape and features that are not finite.
    """
    if features.ndim != 2 or not len(features):
        raise ValueError(f"features of shape {features.shape} must be (samples, features) with a sample at least")
    directions = Directions(features, "what is to be laid out has").all()
    centred = directions - directions.mean(0)
    if float(np.abs(centred).max(initial=0.0)) <= ALIKE:
        return Layout(np.zeros((len(features), 2), np.float32), "none, since all features are alike")
    if len(features) < SMALLEST:
        return Layout(_two(principal(centred)), "principal components")
    if len(features) <= EXACT:
        return Layout(place(directions, seed, PERPLEXITY).astype(np.float32), "t-SNE (scikit-learn)")
    return Layout(_place_many(principal(centred), seed, threads), "t-SNE (openTSNE)")


def place(features: ndarray, seed: int, perplexity: float) -> ndarray:
    """(N, D) float32 -> (N, 2): each sample's place in scikit-learn's map of the features as they are."""
    from sklearn.manifold import TSNE

    centred = features - features.mean(0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    components = (left * lengths)[:, :COMPONENTS]
    # Constant features have no principal components. Their map starts at random, so that it looks like noise.
    start = "pca" if components.shape[1] > 1 and lengths[1] > 1e-6 * np.abs(features).max() else "random"
    settings: dict[str, Any] = {"init": start, "random_state": seed, "perplexity": min(perplexity, len(features) / 3)}
    return np.asarray(TSNE(**settings).fit_transform(components))


def principal(centred: ndarray) -> ndarray:
    """(N, D) of mean zero -> (N, P) float32, P at most 50: by the eigenvectors of the (D, D) scatter matrix."""
    _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    axes = vectors[:, ::-1][:, :COMPONENTS]
    largest = np.abs(axes).argmax(0)  # an eigenvector's sign is arbitrary: its largest part is positive
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    return np.asarray(centred @ axes.astype(np.float32))


def _two(components: ndarray) -> ndarray:
    """(N, P) -> (N, 2), filled up with zeros."""
    points = np.zeros((len(components), 2), np.float32)
    points[:, : components.shape[1]] = components[:, :2]
    return points


def _place_many(components: ndarray, seed: int, threads: int) -> ndarray:
    """(N, P) float32 -> (N, 2) float32 by openTSNE, with three times the perplexity of neighbours, as there."""
    import faiss
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    count = min(int(3 * PERPLEXITY), len(components) - 1)
    perplexity = min(PERPLEXITY, count / 3)
    components = np.ascontiguousarray(components, np.float32)
    squares, rows = faiss.knn(components, components, count + 1)
    # The first is the sample itself, or another one at its place.
    index = PrecomputedNeighbors(rows[:, 1:], np.sqrt(np.maximum(squares[:, 1:], 0)).astype(np.float64))
    affinities = PerplexityBasedNN(knn_index=index, perplexity=perplexity, n_jobs=threads, random_state=seed)
    start = _two(components).astype(np.float64)
    start *= START / start[:, 0].std()
    method = TSNE(perplexity=perplexity, negative_gradient_method="fft", n_jobs=threads, random_state=seed)
    found = method.fit(affinities=affinities, initialization=start)
    return np.asarray(found, np.float32)
