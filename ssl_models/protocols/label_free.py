"""What a representation is worth without labels: the dimensions that it fills, how it spreads, and what views share.

Ranks: RankMe (Garrido et al. 2023, arXiv:2210.02885), alpha-ReQ (Agrawal et al. 2022, NeurIPS 35) and LiDAR (Thilak et
al. 2024, arXiv:2312.04000). On the sphere: uniformity and alignment (Wang & Isola 2020, arXiv:2005.10242). Own:
`crop_agreement`, and `cluster_stability` after Hubert & Arabie 1985. The formulas stand in _label_free/.

Legend: N samples, V views of each, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.dimensions import rankme
from ssl_models.errors import DoesNotApply, NeedsSamples
from ssl_models.protocols._common.checks import checked_layers
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._label_free import geometry, spectra
from ssl_models.protocols._label_free.filling import told_of
from ssl_models.protocols._label_free.jackknife import score
from ssl_models.protocols._label_free.stability import cluster_stability
from ssl_models.protocols._label_free.views import encoded

NEEDS = ("features", "encoder", "samples")
TITLE = "label-free"
READING = (
    "No labels are used. LiDAR counts the dimensions in which samples differ more than mild views of one sample do "
    "(crops of a picture); 1 for a collapsed representation, more is better. Runs are ranked by it where there are no "
    "labels. RankMe counts the dimensions that features fill, more is better. Crop agreement: how far two views of a "
    "sample have the same nearest other samples; 0 by chance, more is better. It says that neighbours are stable, and "
    "not that they are right. Alpha-ReQ: how steeply the spectrum falls; near 1 is said to be good, more is too steep. "
    "Uniformity and alignment are losses, less is better. Cluster stability: whether halves of the samples give the "
    "same clusters, 1 at best."
)
HEADLINE = "lidar"
ESTIMATES = True
WORDS = {"lidar": "LiDAR", "rankme": "RankMe", "alpha_req": "alpha-ReQ"}
UNITS = {
    "crop_agreement": "share",
    "rankme": "number",
    "alpha_req": "number",
    "lidar": "number",
    "uniformity": "number",
    "alignment": "number",
    "cluster_stability": "number",
}
SMALLEST, LARGEST = 20, 4096
"""Test samples: the fewest, and the most, of which all pairs are held in memory."""
MOST_VIEWS = 50
"""Views of a sample at most; as many as LiDAR's authors take."""
NORMAL = 1.96
"""Standard errors to either side of a 95 % interval."""
LEFT_OUT = {
    "alpha_req": "alpha_req is left out: the spectrum has too few eigenvalues for a fit, which needs 20",
    "lidar": "lidar is left out: there are fewer views of all samples than it needs, which is one for each feature",
}
LIDAR_GROUPS = 10
"""Of its jackknife: a matrix of (D, D) is taken apart for each."""


@dataclass(frozen=True)
class Settings:
    """See `evaluate`. Raises ValueError for a value out of range."""

    samples: int
    views: int
    neighbours: int
    clusters: int
    draws: int
    smallest_crop: float
    flip: float

    def __post_init__(self) -> None:
        for name, least in (("samples", SMALLEST), ("views", 2), ("neighbours", 1), ("clusters", 2), ("draws", 2)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} = {value} must be at least {least}")
        if self.samples > LARGEST:
            raise ValueError(f"samples = {self.samples} must be at most {LARGEST}")
        require_positive(smallest_crop=self.smallest_crop)
        require_fraction(smallest_crop=self.smallest_crop, flip=self.flip)


def evaluate(
    representation: Representation,
    *,
    seed: int,
    layers: str | list[str] = "pooled",
    samples: int = 1024,
    views: int = 4,
    neighbours: int = 10,
    clusters: int = 10,
    draws: int = 8,
    smallest_crop: float = 0.5,
    flip: float = 0.5,
) -> Findings:
    """Seven metrics of the test samples at each of `layers`; a note where a representation has collapsed.

    crop_agreement: of the k nearest others of a sample by its first view and by its second, the share that is the same,
    corrected for chance. lidar: of all views. alignment: of the first two, at unit length. rankme, alpha_req,
    uniformity and cluster_stability: of the samples as they are. The nearest, uniformity, alignment and clusters go by
    the directions of features, as the protocol k-NN does; the ranks go by features as they are.

    samples: the most test samples, drawn with `seed`; up to 4096. views: mild ones, V, of every sample: crops and flips
    of pictures, shifts and loudness of sound, words left out of text. More of them, up to 50, where there are few
    samples: V - 1 is at least 2 D / N, as lidar asks for. smallest_crop, flip: of pictures, as in finetune.
    neighbours: k, at most a quarter of the samples. clusters, draws: of cluster_stability; clusters are at most an
    eighth of the samples.
    Intervals are for other samples of the same number: by jackknife, for crop_agreement by the variance of means over
    pairs, for cluster_stability over its draws. Where there are no views, and where a rank cannot be measured, the
    metric is left out and a note says so.
    Raises NeedsSamples for fewer than 20 test samples, ValueError for settings out of range and features that are not
    finite.
    """
    settings = Settings(samples, views, neighbours, clusters, draws, smallest_crop, flip)
    names = list(dict.fromkeys(checked_layers(layers, representation.layers)))
    stored = {layer: representation.features("test", layer) for layer in names}
    rows = _drawn(len(stored[names[0]]), samples, seed)
    notes = []
    try:
        seen = _encoded(representation, rows, names, settings, seed)
    except DoesNotApply as error:
        seen = {}
        notes.append(f"There are no views, so crop_agreement, lidar and alignment are left out: {error}.")
    scores: list[Score] = []
    for layer in names:
        features = _finite(layer, np.asarray(stored[layer][rows], np.float64))
        found = [*_of_views(layer, seen, settings, seed), *_of_samples(layer, features, settings, seed)]
        scores += [each for each in found if isfinite(each.value) and isfinite(each.low)]
        told = [told_of(features), *(LEFT_OUT[each.metric] for each in found if not isfinite(each.low))]
        notes += [f"At the layer '{layer}', {note}." for note in told if note]
    return Findings(scores, notes=tuple(notes))


def refuse(*, layers: str | list[str], there: tuple[str, ...] = (), **settings: Any) -> None:
    """Raises ValueError for settings out of range, NoSuchLayer for layers that are not `there`."""
    Settings(**settings)
    if there:
        checked_layers(layers, there)


def _drawn(there: int, samples: int, seed: int) -> ndarray:
    """At most so many rows of the test split, at random, ascending."""
    if there < SMALLEST:
        raise NeedsSamples(f"label_free needs at least {SMALLEST} test samples; there are {there}")
    return np.sort(np.random.default_rng(seed).permutation(there)[:samples])


def _encoded(
    representation: Representation, rows: ndarray, layers: list[str], settings: Settings, seed: int
) -> dict[str, ndarray]:
    """Layer -> (V, N, D) float64."""
    size = max(representation.features("test", layer).shape[1] for layer in layers)
    count = max(settings.views, min(MOST_VIEWS, 1 + ceil(2 * size / len(rows))))
    crops = {"smallest_crop": settings.smallest_crop, "flip": settings.flip}
    found = encoded(representation, rows, layers, count=count, seed=seed, **crops)
    return {layer: _finite(layer, views.astype(np.float64)) for layer, views in found.items()}


def _finite(layer: str, features: ndarray) -> ndarray:
    if not np.isfinite(features).all():
        raise ValueError(f"layer '{layer}' has features that are not finite; train or extract it again")
    return features


def _of_views(layer: str, seen: dict[str, ndarray], settings: Settings, seed: int) -> Iterator[Score]:
    """The metrics of what views of the samples have in common."""
    if layer not in seen:
        return
    views = seen[layer]
    samples = views.shape[1]
    first, second = (geometry.directions(view) for view in views[:2])
    apart, other = (geometry.squared_distances(view) for view in (first, second))
    value, error = geometry.agreement(apart, other, min(settings.neighbours, samples // 4))
    yield Score(layer, "crop_agreement", value, max(-1.0, value - NORMAL * error), min(1.0, value + NORMAL * error))

    def lidar(rows: ndarray) -> float:
        return spectra.lidar(views[:, rows])

    yield score(layer, "lidar", lidar, samples, seed=seed, groups=LIDAR_GROUPS, within=(1, inf))
    squares = geometry.alignment(first, second)
    yield score(layer, "alignment", lambda rows: float(squares[rows].mean()), samples, seed=seed, within=(0, 4))


def _of_samples(layer: str, features: ndarray, settings: Settings, seed: int) -> Iterator[Score]:
    """The metrics of the samples as they are."""
    samples, points = len(features), geometry.directions(features)
    kernel = np.exp(-2 * geometry.squared_distances(points))

    def uniformity(rows: ndarray) -> float:
        return geometry.uniformity(kernel[np.ix_(rows, rows)])

    def exponent(rows: ndarray) -> float:
        return spectra.exponent(spectra.spectrum(features[rows]))

    yield score(layer, "rankme", lambda rows: rankme(features[rows]), samples, seed=seed, within=(1, inf))
    yield score(layer, "alpha_req", exponent, samples, seed=seed)
    yield score(layer, "uniformity", uniformity, samples, seed=seed, within=(-8, 0))
    clusters = min(settings.clusters, samples // 8)
    yield cluster_stability(layer, points, clusters=clusters, draws=settings.draws, seed=seed)
