"""Nearest frames of other videos: whether they show the same pose, the same scene or the same class.

Misra, Zitnick & Hebert 2016 (arXiv:1603.08561), section 4.2 and figure 5: the nearest frames of a network that has
learnt the order of frames show people in the same pose, those of one that has learnt classes show the same scene.
Legend: N clips, T frames of a clip, F of them taken, V videos, M queries, G frames of the gallery, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from numpy import ndarray
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from ssl_models.errors import NeedsLabels, NeedsParts, NeedsTruth
from ssl_models.hardware import pick_device, place
from ssl_models.previews import coloured
from ssl_models.protocols._common.adaptation import outputs
from ssl_models.protocols._common.checks import checked_label_set, checked_labels, sources_of
from ssl_models.protocols._common.neighbour_rows import SHOWN, drawn, files_of, sheet
from ssl_models.protocols._common.pieces import RANKS, Pieces, counted, nearest_apart, shares
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._frame_neighbours.likeness import (
    background,
    colour_distance,
    gains,
    pose_distance,
    relative_points,
)
from ssl_models.trainer import derive_seed

NEEDS = ("encoder", "samples", "labels", "frame_points", "frame_extent")
TITLE = "frame neighbours"
READING = (
    "The nearest frame of another video. pose: how much closer its points are than a random frame's of the same class; "
    "scene: how much closer the background's colour is. 0 is a random choice, 100 % the same. class, action: how often "
    "they are the same."
)
EVERY = True
HEADLINE = "pose"
UNITS = {"pose*": "share", "scene*": "share", "class*": "share", "action*": "share"}
FRAMES = ("frames",)
CLIPS = 32
"""Clips that are encoded at once."""


def evaluate(representation: Representation, *, seed: int, frames: int = 2) -> Findings:
    """pose, scene, class and action of the nearest training frame by cosine, and the same _at_5; each where known.

    `frames` of each clip, evenly spaced, are encoded as single pictures; those of the test clips are the queries. The
    neighbours of a query are the nearest frames of different videos, so that one video counts once. Splits go by
    video, so none is of the query's own.

    pose: 1 - (mean distance of the query's points to its neighbour's) / (mean distance to those of random frames), in
    extents of the object and after the mean of the points is taken out. Both are of frames of the query's own class:
    the nearest of them is looked for, so that a representation which tells classes gains nothing. Where there are no
    labels, of all frames. scene: the same for the background's colour (cone of hue, saturation and brightness), of all
    frames. class, action: the share of neighbours that have the query's; chance is the share in the gallery.
    Intervals are by bootstrap over the test videos.

    An object that looks the same when it is turned lowers the pose that can be reached. An action shows in one frame
    only as far as its poses are its own.

    The picture: eight test frames, drawn with `seed`, one of each class in turn. To the right of each stand its ten
    nearest frames, with a green frame if they have its class and a red one if not. Without labels there are no frames
    around them, and without any truth no scores.
    Raises NeedsParts for samples without frames and for an encoder that cannot read frames alone, ValueError for
    settings or annotations out of range.
    """
    refuse(frames=frames)
    samples = {split: representation.samples(split) for split in ("train", "test")}
    if "frames" not in samples["test"]:
        raise NeedsParts(FRAMES, samples["test"], "the protocol 'frame_neighbours'")
    draws = np.random.default_rng(derive_seed(seed, "frame_neighbours"))
    gallery, queries = (_encoded(representation, split, frames) for split in ("train", "test"))
    labels = _labels(representation)
    scores = _scores(representation, gallery, queries, labels, draws, seed)
    pictures, tables = _shown(representation, gallery, queries, labels, draws, seed)
    return Findings(scores, pictures, tables=tables)


def refuse(*, frames: int) -> None:
    """Raises ValueError for settings that `evaluate` cannot work with."""
    if not isinstance(frames, int) or frames < 1:
        raise ValueError(f"frames = {frames!r} must be a whole number of at least 1: so many of each clip are compared")


def _encoded(representation: Representation, split: str, frames: int) -> Pieces:
    """Raises NeedsParts for an encoder that reads more than frames, ValueError for outputs that are not finite."""
    samples = representation.samples(split)
    encoder = representation.encoder().reading(FRAMES).eval()
    encoder.reads(FRAMES)
    place(encoder, pick_device(), channels_last=encoder.convolutional)
    stored = samples["frames"]
    count, times = len(stored), taken(stored.shape[1], frames)
    chosen = torch.from_numpy(times)

    def network(clips: Tensor) -> Tensor:
        given = clips[:, chosen.to(clips.device)].flatten(0, 1)  # (B * F, C, H, W)
        found: Tensor = encoder(given)
        return found.view(len(clips), len(times), -1)

    vectors = outputs(network, stored, precision=representation.precision, batch_size=CLIPS).flatten(0, 1)
    if not torch.isfinite(vectors).all():
        raise ValueError(f"the encoder gives {split} vectors that are not finite; train again")
    video = sources_of(samples)
    clip = np.repeat(np.arange(count), len(times))
    return Pieces(clip, np.tile(times, count), video[clip], functional.normalize(vectors))


def _labels(representation: Representation) -> dict[str, dict[str, ndarray]]:
    """Name of a metric -> split -> (N,) int64, of what is known of "class" and "action"."""
    splits, found = ("train", "test"), {}
    with suppress(NeedsLabels):
        found["class"] = {split: checked_labels(representation, split) for split in splits}
    if "action" in representation.label_sets:
        found["action"] = {split: checked_label_set(representation, split, "action") for split in splits}
    return found


def _points(representation: Representation, split: str, frames: Pieces) -> ndarray | None:
    """(G, P, 3) points in extents, of frames; None where they are not known. Raises ValueError for other shapes."""
    try:
        points = np.asarray(representation.truth(split, "frame_points"), np.float64)
        extent = np.asarray(representation.truth(split, "frame_extent"), np.float64)
    except NeedsTruth:
        return None
    clips = representation.samples(split)["frames"].shape[:2]
    if points.ndim != 4 or points.shape[:2] != clips or points.shape[3] != 3 or extent.shape != clips:
        raise ValueError(
            f"the {split} frame_points of shape {points.shape} and frame_extent {extent.shape} are not (N, T, P, 3), "
            f"(N, T) of {clips[0]} clips of {clips[1]} frames"
        )
    found = relative_points(points[frames.sample, frames.place], extent[frames.sample, frames.place])
    if not np.isfinite(found).all():
        raise ValueError(f"the {split} frame_points that are seen must be finite")
    return found


def _colours(representation: Representation, split: str, frames: Pieces) -> ndarray | None:
    """(G, 3): the colour behind the object of each frame; None where it is not known."""
    try:
        found = background(representation.truth(split, "factors"))
    except NeedsTruth:
        return None
    return None if found is None else found[frames.sample]


def taken(length: int, frames: int) -> ndarray:
    """(F,) int64: which frames of a clip are compared: the middles of equal parts; all where there are no more."""
    count = min(frames, length)
    return np.floor((np.arange(count) + 0.5) * length / count).astype(np.int64)


# ---- scores


def _scores(
    representation: Representation,
    gallery: Pieces,
    queries: Pieces,
    labels: dict[str, dict[str, ndarray]],
    draws: Generator,
    seed: int,
) -> list[Score]:
    _, videos = np.unique(queries.source, return_inverse=True)
    nearest = nearest_apart(gallery, queries, RANKS[-1], draws)
    everything = [np.arange(len(gallery))] * len(queries)
    found: list[Score] = []
    points = [_points(representation, split, own) for split, own in (("train", gallery), ("test", queries))]
    if points[0] is not None and points[1] is not None:
        same, mates = nearest, everything
        if "class" in labels:
            own, asked = labels["class"]["train"][gallery.sample], labels["class"]["test"][queries.sample]
            same = nearest_apart(gallery, queries, RANKS[-1], draws, (own, asked))
            of_class = [np.flatnonzero(own == kind) for kind in range(representation.classes)]
            mates = [of_class[kind] for kind in asked]
        distance = _between(pose_distance, points[1], points[0])
        found += shares("pose", *gains(distance, same, mates, draws), videos, seed)
    colours = [_colours(representation, split, own) for split, own in (("train", gallery), ("test", queries))]
    if colours[0] is not None and colours[1] is not None:
        distance = _between(colour_distance, colours[1], colours[0])
        found += shares("scene", *gains(distance, nearest, everything, draws), videos, seed)
    for name, known in labels.items():
        right = known["train"][gallery.sample[nearest]] == known["test"][queries.sample, None]  # (M, k)
        found += shares(name, *counted(right), videos, seed)
    return found


def _between(
    distance: Callable[[ndarray, ndarray], ndarray], queries: ndarray, gallery: ndarray
) -> Callable[[ndarray, ndarray], ndarray]:
    """The distance of a query's row from a row of the gallery."""
    return lambda rows, others: distance(queries[rows], gallery[others])


# ---- pictures


def _shown(
    representation: Representation,
    gallery: Pieces,
    queries: Pieces,
    labels: dict[str, dict[str, ndarray]],
    draws: Generator,
    seed: int,
) -> tuple[dict[str, ndarray], dict[str, dict[str, list[str]]]]:
    """The picture of some queries, of different videos, with their neighbours; and their files, where known."""
    stored = {split: representation.samples(split)["frames"] for split in ("train", "test")}
    _, first = np.unique(queries.source, return_index=True)
    known = labels["class"]["test"][queries.sample] if "class" in labels else np.zeros(len(queries), np.int64)
    asked = queries.only(first[drawn(known[first], seed)])
    rows = nearest_apart(gallery, asked, SHOWN, draws)
    right = None
    if "class" in labels:
        right = labels["class"]["train"][gallery.sample[rows]] == labels["class"]["test"][asked.sample, None]

    def picture(split: str, frames: Pieces) -> Callable[[int], ndarray]:
        return lambda row: coloured(np.asarray(stored[split][int(frames.sample[row])])[frames.place[row]])

    drawing = sheet(picture("test", asked), picture("train", gallery), np.arange(len(asked)), rows, right)
    return {"neighbours": drawing}, files_of(representation, asked.sample, gallery.sample[rows])
