"""Where in a frame it sounds: heat maps of an encoder that reads frames and sound, against the box of what sounds.

Such maps are those of Arandjelovic & Zisserman 2018, "Objects that Sound" (arXiv:1712.06651, section 4.1). Senocak et
al. 2018 (arXiv:1803.03849, section 5.2) measure the overlap of the region above a half, cIoU, and the area under the
curve of its success rate over all thresholds of overlap, which is the mean overlap.

Legend: N test samples, (h, w) a heat map's size, (H, W) a frame's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy import ndarray
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import DoesNotApply, NeedsSamples, NeedsTruth
from ssl_models.feeding import slices
from ssl_models.hardware import pick_device, place
from ssl_models.modalities.image import AXES
from ssl_models.previews import PIXELS
from ssl_models.protocols._common.adaptation import outputs
from ssl_models.protocols._common.baselines import CENTRE, FIXED_PLACE, OTHER_SOUND
from ssl_models.protocols._common.checks import sources_of
from ssl_models.protocols._common.intervals import over_sources
from ssl_models.protocols._common.named import named
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._localisation.fixed import fixed_box, fixed_place
from ssl_models.protocols._localisation.measures import (
    clips_unseen,
    enlarged,
    holds,
    inside,
    of_range,
    other_clips,
    overlaps,
    peaks,
    preferred,
    within,
)
from ssl_models.protocols._localisation.picture import Shown, draw
from ssl_models.protocols._localisation.truth import Sounding, sounding
from ssl_models.rows import Samples, chosen

NEEDS = ("encoder", "samples", "source_box")
TITLE = "localisation"
READING = (
    "The share of test clips in which the maximum of the heat map lies in the box of what sounds. In the row other "
    "sound each frame has the sound of another clip: a map that only finds objects scores as high there, and its "
    "chosen, whether what sounds is hotter than what is silent, is a half. centre is the middle of the frame, and "
    "fixed place the one place that lies in most boxes of the training clips."
)
HEADLINE = "inside"
UNITS = {"inside": "share", "iou": "share", "iou_at_50": "share", "chosen": "share"}
WORDS = {"inside": "maximum in the box", "iou": "mean IoU", "iou_at_50": "IoU of a half", "chosen": "right object"}
METRICS = ("inside", "iou", "iou_at_50", "chosen")
HEAT = "heat"
"""The row of the encoder's own maps."""
SUCCESS = 0.5
"""The overlap from which on a region is right."""
FEWEST = 2
ROWS = 128
"""Samples at a time."""
SHOWN = 8


def evaluate(representation: Representation, *, seed: int, threshold: float = 0.5) -> Findings:
    """The encoder's `heat` of each test frame and its sound, enlarged to the frame: its maximum and its region.

    inside: the share of samples whose maximum lies in the box of what sounds. Of equal maxima that nearest to the
    middle of the frame counts, so that a constant map answers the middle.
    iou: mean overlap (intersection over union, in pixels) of the region above `threshold` of the map's range with the
    box, which is the area under the curve of the success rate (AUC). A constant map has no region.
    iou_at_50: the share of overlaps of a half at least (cIoU).
    chosen: of samples that show other objects too, the share of those whose mean heat is below that in the box of what
    sounds; equal ones count half, and chance is a half. Difficult boxes are not compared.

    Rows: "centre", a constant map, and as its region the mean box of the training samples. "fixed place", what those
    boxes tell without the frame: the pixel that lies in most of them, and the one that overlaps them most. "other
    sound", the same frames, each with the sound of another clip: of a class that the frame does not show where that is
    known, else of another class, else of another source. "heat", the encoder's.
    Intervals are over sources, see intervals.over_sources.
    Maps of several frames of a clip are averaged. The picture "heat" shows clips, of several objects where known; where
    no boxes are known it is all that there is.

    Raises DoesNotApply for an encoder without `heat`, NeedsParts for samples without frames or sound, NeedsSamples for
    a single test sample, ValueError for settings, maps or boxes out of range.
    """
    refuse(threshold=threshold)
    encoder, samples = _with_heat(representation), representation.samples("test")
    parts = encoder.reads(samples)
    pictures = next(samples[part] for part in parts if part in PIXELS)
    if len(pictures) < FEWEST:
        raise NeedsSamples(f"{len(pictures)} test sample: the sound of another clip takes at least {FEWEST}")
    others = _other_clips(representation, samples, seed)
    read = [samples[part] for part in parts]
    swapped = [samples[part] if part in PIXELS else chosen(samples[part], others) for part in parts]
    heat = {
        OTHER_SOUND: _heat(encoder, swapped, representation.precision),
        HEAT: _heat(encoder, read, representation.precision),
    }
    known = sounding(representation, "test", len(pictures))
    rows = _rows_to_show(known, len(pictures))
    titles = _titles(representation, len(pictures))
    shown = {"heat": draw([_shown(pictures, heat, row, int(others[row]), titles, known) for row in rows])}
    scores: list[Score] = []
    if known is not None:
        found = _without_pictures(representation, known, pictures.shape[-2:])
        found |= {layer: _measured(maps, known, pictures.shape[-2:], threshold) for layer, maps in heat.items()}
        sources = sources_of(samples)[known.rows]
        scores = [score for layer, own in found.items() for score in _scores(layer, own, sources, seed)]
    notes = () if scores else ("Where it sounds is not known of these data: there is the picture, and no score.",)
    return Findings(scores, shown, tables=named(representation, "heat", rows), notes=notes)


def refuse(*, threshold: float = 0.5) -> None:
    """Raises ValueError for settings out of range."""
    if not 0 < threshold < 1:
        raise ValueError(f"threshold = {threshold} must lie between 0 and 1, both excluded")


def _with_heat(representation: Representation) -> Encoder:
    """The encoder, frozen, on its device."""
    encoder = representation.encoder()
    if not hasattr(encoder, "heat"):
        raise DoesNotApply(f"the encoder '{encoder.name}' gives no heat map of a frame and a sound; two_tower does")
    place(encoder, pick_device(), channels_last=encoder.convolutional)
    return encoder.eval()


def _heat(encoder: Encoder, read: Sequence[Samples], precision: str) -> ndarray:
    """(N, h, w) float32: the mean over the frames of a clip."""

    def network(*batch: Tensor) -> Tensor:
        maps: Tensor = encoder.heat(*batch)  # type: ignore[operator]
        if maps.ndim not in (3, 4) or len(maps) != len(batch[0]):
            raise ValueError(
                f"heat of the encoder '{encoder.name}' has the shape {tuple(maps.shape)} for {len(batch[0])} samples; "
                "it must be (B, h, w), or (B, T, h, w) for clips"
            )
        return maps if maps.ndim == 3 else maps.mean(1)

    found = outputs(network, *read, precision=precision, batch_size=ROWS).numpy()
    if not np.isfinite(found).all():
        raise ValueError(f"heat of the encoder '{encoder.name}' holds numbers that are not finite")
    return found


def _other_clips(representation: Representation, samples: Mapping[str, Samples], seed: int) -> ndarray:
    """(N,) int64: for each sample the one whose sound its frame is given."""
    try:
        labels = np.asarray(representation.labels("test"))
    except NeedsTruth:
        return other_clips(sources_of(samples), seed)
    try:
        present = np.asarray(representation.truth("test", "present"))
    except NeedsTruth:
        return other_clips(labels, seed)
    return clips_unseen(labels, present, seed)


def _measured(heat: ndarray, known: Sounding, size: Sequence[int], threshold: float) -> dict[str, ndarray]:
    """Metric -> (K,), of the samples whose box is known; NaN in `chosen` where there is nothing to choose from."""
    found: dict[str, list[ndarray]] = {"inside": [], "iou": [], "chosen": []}
    for block in slices(len(known.rows), ROWS):
        rows = known.rows[block]
        maps, boxes = enlarged(of_range(heat[rows]), size), known.boxes[rows]
        found["inside"].append(inside(maps, boxes))
        found["iou"].append(overlaps(of_range(maps) >= threshold, boxes))
        found["chosen"].append(preferred(maps, boxes, [known.others[row] for row in rows]))
    return {metric: np.concatenate(values) for metric, values in found.items()}


def _without_pictures(
    representation: Representation, known: Sounding, size: Sequence[int]
) -> dict[str, dict[str, ndarray]]:
    """Row -> metric -> (K,): of a constant map, and of what the boxes of the training samples tell, where known."""
    boxes = known.boxes[known.rows]
    found = {CENTRE: {"inside": holds(boxes, peaks(np.zeros((1, *size))))}}
    samples = representation.samples("train")
    train = sounding(representation, "train", len(next(iter(samples.values()))))
    if train is not None:
        there = train.boxes[train.rows]
        found[CENTRE]["iou"] = _of_one_box(there.mean(0), boxes, size)
        found[FIXED_PLACE] = {
            "inside": holds(boxes, fixed_place(there, size)[None]),
            "iou": _of_one_box(fixed_box(there), boxes, size),
        }
    return found


def _of_one_box(one: ndarray, boxes: ndarray, size: Sequence[int]) -> ndarray:
    """(4,) and (K, 4) -> (K,): the overlaps, in pixels."""
    return overlaps(np.repeat(within(one[None], size), len(boxes), 0), boxes)


def _scores(layer: str, found: Mapping[str, ndarray], sources: ndarray, seed: int) -> list[Score]:
    """found: metric -> (K,), NaN for samples that do not count. sources: (K,)."""
    values = dict(found)
    if "iou" in values:
        values["iou_at_50"] = values["iou"] >= SUCCESS
    scores = []
    for metric in METRICS:
        counted = values.get(metric, np.array([]))
        rows = np.flatnonzero(np.isfinite(counted))
        if len(rows):
            scores.append(over_sources(layer, metric, counted[rows], sources[rows], seed=seed))
    return scores


def _rows_to_show(known: Sounding | None, count: int) -> ndarray:
    """Some test samples, evenly: of those that show other objects too, of those whose box is known, or of all."""
    among = np.arange(count)
    if known is not None:
        several = np.array([row for row in known.rows if len(known.others[row])], np.int64)
        among = several if len(several) else known.rows
    return among[np.unique(np.linspace(0, len(among) - 1, min(SHOWN, len(among))).round().astype(int))]


def _titles(representation: Representation, count: int) -> list[str]:
    """What is heard in each test sample: its class, or else its number from 1."""
    try:
        labels, names = representation.labels("test"), representation.class_names
        return [names[label] if names else f"class {label}" for label in labels]
    except NeedsTruth:
        return [f"clip {number}" for number in range(1, count + 1)]


def _shown(
    pictures: Samples, heat: Mapping[str, ndarray], row: int, other: int, titles: list[str], known: Sounding | None
) -> Shown:
    """A clip's middle frame and its two maps."""
    stored = np.asarray(pictures[row])
    frame = stored if stored.ndim == AXES else stored[len(stored) // 2]
    box = known.boxes[row] if known is not None and row in known.rows else None
    heard = (f"its sound: {titles[row]}", f"other sound: {titles[other]}")
    return Shown(frame, heat[HEAT][row], heat[OTHER_SOUND][row], heard, box)
