"""A map of the features: t-SNE (van der Maaten & Hinton 2008, JMLR 9), coloured by what is known of the samples.

numpy, scikit-learn and matplotlib only, as in knn.py. Legend: N samples, D features, k neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.atlas.layout import place
from ssl_models.errors import NeedsSamples, NeedsTruth, NoSuchLayer
from ssl_models.figures import PALETTE, TEXT, figure, pixels
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.named import named
from ssl_models.protocols._common.score import Findings, Representation, Score

NEEDS = ("features",)
TITLE = "t-SNE"
READING = (
    "Neighbours in the map mean something; distances between groups and their sizes do not. Trustworthiness says "
    "whether the map is faithful to the features, not whether they are good."
)
HEADLINE = None
UNITS = {"trustworthiness": "number", "neighbour_agreement": "number"}
TRUSTED, AGREEING = 5, 10
"""Neighbours in the map that `trustworthiness` and `neighbour_agreement` are computed from."""
SMALLEST = 2 * AGREEING
ROWS = 512
PANELS = 4
FACTORS = ["hue", "background_brightness", "light", "orientation"]
MARKS = "osD^vP"
"""The mark changes after every six colours, so that 36 groups look different."""
NUMBERED = 16
"""Samples of the map whose files are named."""
NAMED = 36
"""The most groups in a legend."""


def evaluate(
    representation: Representation,
    *,
    seed: int,
    layer: str = "pooled",
    samples: int = 1000,
    perplexity: float = 30.0,
    factors: list[str] = FACTORS,
) -> Findings:
    """A map of test samples, and how faithful it is: `trustworthiness`, `neighbour_agreement`.

    t-SNE runs on the first 50 principal components, as in the paper. It starts from the first two (Kobak & Berens 2019,
    doi:10.1038/s41467-019-13056-x).

    trustworthiness: how far the 5 nearest samples in the map are near by their features too. It is 1 where all are, and
    about 1/2 by chance. neighbour_agreement, for data with labels: the share of the 10 nearest samples in the map that
    have a sample's own class; by chance about the share of that class. Intervals are by bootstrap over samples for the
    given map. They do not cover other maps.
    pictures: "class", one for each further set of labels by its name, such as "speaker", "pseudo_label" and "factors",
    each where it is known; and "files", some samples numbered, which a table of that name lists. Distances between
    groups, and their sizes, mean nothing in such a map.

    samples: the most samples, drawn with `seed`. perplexity: at most a third of the samples. factors: up to four that
    the data have; [] for none. Of the default ones those are drawn that the data have.
    Raises NeedsSamples for fewer than 20 test samples, ValueError for settings or features out of range.
    """
    refuse(layer=layer, samples=samples, perplexity=perplexity, factors=factors, there=representation.layers)
    stored = representation.features("test", layer)
    if stored.ndim != 2 or len(stored) < SMALLEST:
        refused = ValueError if stored.ndim != 2 else NeedsSamples
        raise refused(f"layer '{layer}' has test features of shape {stored.shape}; a map takes {SMALLEST} samples")
    # In random order: of equal features the first counts as the nearest, so the order must not depend on the data.
    rows = np.random.default_rng(seed).permutation(len(stored))[:samples]
    features = _taken(stored, rows, layer)
    labels = _known(lambda: representation.labels("test"))
    clusters = _known(lambda: representation.truth("test", "clusters"))
    known = _known(lambda: representation.truth("test", "factors"))
    shown = _columns(known, factors, rows)
    points = place(features, seed, perplexity)
    scores = [_mean(layer, "trustworthiness", trust(features, points), seed)]
    pictures = {}
    if labels is not None:
        scores.append(_mean(layer, "neighbour_agreement", agreement(points, labels[rows]), seed))
        pictures["class"] = _draw_groups(points, labels[rows], representation.class_names)
    pictures |= _further_sets(representation, labels, rows, points)
    if clusters is not None:
        pictures["pseudo_label"] = _draw_groups(points, np.asarray(clusters)[rows], ())
    if shown:
        pictures["factors"] = _draw_factors(points, shown)
    numbered = spread(points)
    if tables := named(representation, "files", rows[numbered]):
        pictures["files"] = _draw_numbers(points, numbered)
    return Findings(scores, pictures, tables=tables)


def refuse(*, layer: str, samples: int, perplexity: float, factors: list[str], there: tuple[str, ...] = ()) -> None:
    """Raises ValueError for settings out of range, NoSuchLayer for a layer that is not `there`."""
    if not isinstance(layer, str) or not layer:
        raise ValueError(f"layer = {layer!r} must be the name of one layer")
    if samples < SMALLEST:
        raise ValueError(f"samples = {samples} must be at least {SMALLEST}")
    if not isfinite(perplexity) or perplexity < 1:
        raise ValueError(f"perplexity = {perplexity} must be finite and at least 1")
    if not isinstance(factors, list | tuple) or len(factors) > PANELS:
        raise ValueError(f"factors = {factors!r} must be a list of at most {PANELS} names")
    if there and layer not in there:
        raise NoSuchLayer(f"layer = {layer!r} must be one of {', '.join(there)}")


def trust(features: ndarray, points: ndarray, neighbours: int = TRUSTED) -> ndarray:
    """(N, D) and (N, 2) -> (N,): what each sample adds to the trustworthiness, which is their mean.

    1 - 2 / (k (2 N - 3 k - 1)) * sum over its k nearest in the map of max(0, rank - k), the rank being that among its
    nearest by features, from 1 (Venna & Kaski 2001, ICANN, equation 1, where the sum runs over all samples).
    """
    samples = len(features)
    found = np.empty(samples)
    for begin, nearest in _nearest(points, neighbours):
        own = np.arange(begin, begin + len(nearest))
        ranks = np.empty((len(own), samples), np.int64)
        # The sample itself comes first and has rank 0.
        np.put_along_axis(ranks, _order(features, own), np.arange(samples)[None], axis=1)
        beyond = np.maximum(0, np.take_along_axis(ranks, nearest, axis=1) - neighbours)
        found[own] = 1 - beyond.sum(1) * 2 / (neighbours * (2 * samples - 3 * neighbours - 1))
    return found


def agreement(points: ndarray, labels: ndarray, neighbours: int = AGREEING) -> ndarray:
    """(N, 2) and (N,) -> (N,): for each sample the share of its nearest samples in the map that have its label."""
    nearest = np.concatenate([rows for _, rows in _nearest(points, neighbours)])  # (N, k)
    return np.asarray((labels[nearest] == labels[:, None]).mean(1))


def spread(points: ndarray, count: int = NUMBERED) -> ndarray:
    """(N, 2) -> at most `count` rows: the first, and then always the one furthest from all before."""
    chosen = [0]
    distance = np.square(points - points[0]).sum(1)
    while len(chosen) < count and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.square(points - points[chosen[-1]]).sum(1))
    return np.array(chosen)


def _nearest(points: ndarray, neighbours: int) -> Iterator[tuple[int, ndarray]]:
    """For each block of rows: its first row, and the nearest other samples (rows, neighbours), nearest first."""
    for begin in range(0, len(points), ROWS):
        own = np.arange(begin, min(begin + ROWS, len(points)))
        yield begin, _order(points, own)[:, 1 : neighbours + 1]


def _order(points: ndarray, own: ndarray) -> ndarray:
    """(N, D) and rows (B,) -> (B, N): for each row all samples from near to far, itself first.

    Of equal distances the lower row comes first.
    """
    exact = points.astype(np.float64)
    exact -= exact.mean(0)  # else the distances below would be differences of large numbers
    squares = np.square(exact).sum(1)
    distance = squares - 2 * exact[own] @ exact.T  # less the square of the row itself, which changes no order
    distance[np.arange(len(own)), own] = -np.inf
    return np.argsort(distance, axis=1, kind="stable")


def _draw_groups(points: ndarray, groups: ndarray, names: Sequence[str]) -> ndarray:
    """(H, W, 3) uint8: the map with a colour and a mark for each of the ids (N,) that occur, and a legend."""
    ids = np.unique(groups)
    drawn = figure(11.0, 8.0)
    columns = 1 if len(ids) <= NAMED // 2 else 2
    axes = drawn.add_axes((0.01, 0.015, 0.96 - 0.16 * columns, 0.97))
    for turn, group in enumerate(ids.tolist()):
        chosen, name = points[groups == group], names[group] if 0 <= group < len(names) else str(group)
        style: dict[str, Any] = {"c": PALETTE[turn % len(PALETTE)], "marker": MARKS[turn // 6 % len(MARKS)]}
        text = name if turn < NAMED else None
        axes.scatter(chosen[:, 0], chosen[:, 1], s=28, linewidths=0.3, edgecolors="white", label=text, **style)
    _plain(axes)
    more = f"and {len(ids) - NAMED} more" if len(ids) > NAMED else None
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=TEXT, markerscale=1.6, title=more,
        ncols=columns, columnspacing=0.8, handletextpad=0.2, title_fontsize=TEXT,
    )  # fmt: skip
    return pixels(drawn)


def _draw_factors(points: ndarray, shown: dict[str, ndarray]) -> ndarray:
    """(H, W, 3) uint8: a panel for each factor (N,), or (N, 2) of an angle as (cosine, sine)."""
    columns = min(2, len(shown))
    drawn = figure(11.0, 4.6 * -(-len(shown) // columns))
    grid = drawn.subplots(-(-len(shown) // columns), columns, squeeze=False)
    for axes, (name, values) in zip(grid.flat, shown.items(), strict=False):
        circular = values.ndim == 2
        if circular:
            values = np.degrees(np.arctan2(values[:, 1], values[:, 0])) % 360
        # From 0 to 360 a hue of the world is drawn in its own colour.
        ends = {"vmin": 0, "vmax": 360, "cmap": "hsv"} if circular else {"cmap": "viridis"}
        found = axes.scatter(points[:, 0], points[:, 1], c=values, s=12, linewidths=0, **ends)
        ticks = [0, 90, 180, 270, 360] if circular else None
        bar = drawn.colorbar(found, ax=axes, fraction=0.04, pad=0.02, ticks=ticks)
        bar.ax.tick_params(labelsize=TEXT)
        axes.set_title(name.replace("_", " ") + (", degrees" if circular else ""), fontsize=TEXT + 2)
    for axes in grid.flat:
        _plain(axes)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    drawn.tight_layout()
    return pixels(drawn)


def _draw_numbers(points: ndarray, numbered: ndarray) -> ndarray:
    """(H, W, 3) uint8: the map, and on it the samples of these rows with their numbers, from 1."""
    drawn = figure(11.0, 8.0)
    axes = drawn.add_axes((0.01, 0.015, 0.98, 0.97))
    axes.scatter(points[:, 0], points[:, 1], s=12, linewidths=0, c="#BBBBBB")
    axes.scatter(points[numbered, 0], points[numbered, 1], s=28, linewidths=0, c=PALETTE[0])
    for number, row in enumerate(numbered, 1):
        axes.annotate(str(number), points[row], (4, 4), textcoords="offset points", fontsize=TEXT + 2)
    _plain(axes)
    return pixels(drawn)


def _plain(axes: Any) -> None:
    """Without ticks, since the units of such a map mean nothing."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#CCCCCC")


def _mean(layer: str, metric: str, values: ndarray, seed: int) -> Score:
    low, high = bootstrap(lambda units: float(values[units].mean()), len(values), seed=seed)
    return Score(layer, metric, float(values.mean()), low, high)


def _known(read: Any) -> Any | None:
    """What is read, or None where the data do not have it."""
    try:
        return read()
    except NeedsTruth:
        return None


def _further_sets(
    representation: Representation, labels: ndarray | None, rows: ndarray, points: ndarray
) -> dict[str, ndarray]:
    """A picture for each set of labels, but for that of the classes themselves."""
    found = {}
    for name, classes in representation.label_sets.items():
        groups = np.asarray(representation.truth("test", f"labels.{name}"))
        if labels is None or not np.array_equal(groups, labels):
            found[name] = _draw_groups(points, groups[rows], classes)
    return found


def _columns(known: Mapping[str, ndarray] | None, names: Sequence[str], rows: ndarray) -> dict[str, ndarray]:
    if known is not None and list(names) == FACTORS:
        names = [name for name in names if name in known]
    if unknown := [name for name in names if known is not None and name not in known]:
        raise ValueError(f"factors = {list(names)!r}: the data do not know {unknown}; they know {sorted(known or ())}")
    return {name: np.asarray(known[name])[rows] for name in names} if known is not None else {}


def _taken(stored: ndarray, rows: ndarray, layer: str) -> ndarray:
    """Rows of the stored features, as float32; read in the order in which they lie."""
    order = np.argsort(rows)
    features = np.empty((len(rows), stored.shape[1]), np.float32)
    features[order] = stored[rows[order]]
    if not np.isfinite(features).all():
        raise ValueError(f"layer '{layer}' has test features that are not finite; train or extract it again")
    return features
