"""Retrieval: the nearest neighbours of each query, and how many of them have its class.

numpy, faiss and PIL only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N training samples (the gallery), M test samples (the queries), B of a block, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy import ndarray

from ssl_models.directions import Directions
from ssl_models.errors import NeedsLabels, NeedsTruth
from ssl_models.nearest import nearest
from ssl_models.previews import PIXELS, drawn_part, preview
from ssl_models.protocols._common.checks import checked_labels, checked_layers, shared_sources
from ssl_models.protocols._common.intervals import bootstrap, over_sources, proportion
from ssl_models.protocols._common.layer_directions import directions
from ssl_models.protocols._common.neighbour_rows import SHOWN, drawn, files_of, sheet, shown_beside
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.rows import Samples

NEEDS = ("features", "samples", "labels")
TITLE = "retrieval"
READING = (
    "Each test sample is a query among the training samples. map_at_r is 1 only where all of its class come before all "
    "others (chance is about the square of the class's share); recall@k asks for one right neighbour in k."
)
HEADLINE = "map_at_r"
UNITS = {"map_at_r": "share", "recall*": "share"}
RANKS = [1, 5, 10, 100]


def evaluate(
    representation: Representation,
    *,
    seed: int,
    layers: str | list[str] = "pooled",
    ranks: list[int] = RANKS,
    depth: int = 1000,
) -> Findings:
    """For each of `layers`, by cosine: map_at_r with its bootstrap interval, recall@k with Wilson's, for k in `ranks`.

    A training sample is right for a query if it has the query's class.
    map_at_r: the mean over queries of sum over i <= R of [neighbour i is right] P(i) / R. P(i) is the share of right
    samples among the first i, and R the number of right training samples, at most `depth` (Musgrave et al. 2020,
    arXiv:2003.08505, section 3.2). It is 1 only where all right samples come before all others. For a random order and
    a class of share p it is p (p + (1 - p) (1 + 1/2 + ... + 1/R) / R), so about p^2.
    recall@k: the share of queries with a right sample among the k nearest (Jegou et al. 2011). recall1 is the accuracy
    of one nearest neighbour. A query whose class the gallery lacks is a miss.

    The picture: eight test samples, drawn with `seed`, one of each class in turn. To the right of each stand its ten
    nearest training samples (of texts four) on the last of `layers`, with a green frame if right and a red one if
    wrong. Samples that cannot be drawn give no picture. Without labels there are no scores and no frames. Features are
    read in blocks, so that they may be larger than memory.
    Raises NeedsLabels for data with neither labels nor a picture, ValueError for settings or features out of range.
    """
    names = checked_layers(layers, representation.layers)
    counts = _checked_ranks(ranks)
    if depth < 1:
        raise ValueError(f"depth = {depth} must be at least 1")
    try:
        labels = {split: checked_labels(representation, split) for split in ("train", "test")}
    except NeedsLabels:
        gallery, queries = (directions(representation, split, names[-1]) for split in ("train", "test"))
        pictures, tables = _shown(representation, gallery, queries, None, seed)
        if not pictures:
            raise
        return Findings([], pictures, tables=tables)
    scores, sources = list[Score](), shared_sources(representation)
    for layer in names:
        gallery, queries = (directions(representation, split, layer, len(labels[split])) for split in labels)
        scores += _scores(layer, gallery, queries, labels, counts, depth, seed, sources)
    pictures, tables = _shown(representation, gallery, queries, labels, seed)
    return Findings(scores, pictures, tables=tables)


def average_precision_at_r(right: ndarray, relevant: ndarray) -> ndarray:
    """(B,) for right (B, k) bool, nearest first. relevant: (B,) how many of the gallery are right, at most k.

    0 where none is right.
    """
    place = np.arange(1, right.shape[1] + 1)
    precision = np.cumsum(right, 1) / place
    counted = right & (place <= relevant[:, None])
    return (precision * counted).sum(1) / np.maximum(relevant, 1)


def _scores(
    layer: str,
    gallery: Directions,
    queries: Directions,
    labels: dict[str, ndarray],
    ranks: list[int],
    depth: int,
    seed: int,
    sources: ndarray | None,
) -> list[Score]:
    in_gallery = np.bincount(labels["train"], minlength=int(labels["test"].max()) + 1)
    relevant = np.minimum(in_gallery[labels["test"]], depth)  # (M,)
    ranks = sorted({min(rank, len(gallery)) for rank in ranks})
    precisions, first = [], []
    for begin, _, rows in nearest(gallery, queries, max(int(relevant.max()), ranks[-1])):
        asked = slice(begin, begin + len(rows))
        right = labels["train"][rows] == labels["test"][asked, None]  # (B, k)
        precisions.append(average_precision_at_r(right, relevant[asked]))
        first.append(np.where(right.any(1), right.argmax(1), len(gallery)))
    precision, hit = np.concatenate(precisions), np.concatenate(first)
    if sources is None:
        interval = bootstrap(lambda units: float(precision[units].mean()), len(precision), seed=seed)
        found = [Score(layer, "map_at_r", float(precision.mean()), *interval)]
    else:
        found = [over_sources(layer, "map_at_r", precision, sources, seed=seed)]
    return found + [proportion(layer, f"recall{rank}", hit < rank, sources) for rank in ranks]


def _shown(
    representation: Representation,
    gallery: Directions,
    queries: Directions,
    labels: dict[str, ndarray] | None,
    seed: int,
) -> tuple[dict[str, ndarray], dict[str, dict[str, list[str]]]]:
    """The picture of some queries' neighbours, and their files' names as a table where these are known.

    Neither where the representation has no samples, or such as cannot be drawn.
    """
    try:
        samples, asked = representation.samples("train"), representation.samples("test")
    except NeedsTruth:
        return {}, {}
    if (part := drawn_part(samples)) is None:
        return {}, {}

    def cell(parts: Mapping[str, Samples]) -> Callable[[int], ndarray]:
        return lambda row: preview(parts, row, representation.known)

    chosen = drawn(labels["test"] if labels else np.zeros(len(queries), np.int64), seed)
    few = Directions(np.stack([queries.stored[row] for row in chosen]), queries.name)
    shown = SHOWN if part in PIXELS else shown_beside(cell(asked)(int(chosen[0])).shape[1])
    _, _, rows = next(nearest(gallery, few, shown))
    right = labels["train"][rows] == labels["test"][chosen, None] if labels else None
    picture = sheet(cell(asked), cell(samples), chosen, rows, right, shown=shown, scaled=part in PIXELS)
    return {"neighbours": picture}, files_of(representation, chosen, rows)


def _checked_ranks(ranks: list[int]) -> list[int]:
    if not isinstance(ranks, list | tuple) or not ranks:
        raise ValueError(f"ranks = {ranks!r} must be a list of at least one whole number, such as [1, 10]")
    if not all(isinstance(rank, int) and rank >= 1 for rank in ranks):
        raise ValueError(f"ranks = {ranks!r} must be whole numbers of at least 1")
    return list(ranks)
