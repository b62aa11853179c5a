"""Tracks drawn over the frames of clips: what the tracker followed, and where the object truly is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy
from PIL import Image, ImageDraw

from ssl_models.boxes import there
from ssl_models.figures import PALETTE
from ssl_models.previews import coloured
from tasks.artifacts.pictures import sheet

CLIPS, TIMES, FRAME = 8, 8, 96
"""Clips of the picture, the most frames of each, and about the pixels of a frame's longer side."""
TRUE = "white"


def tracked_clips(parts: Mapping[str, numpy.ndarray], boxes: numpy.ndarray | None) -> numpy.ndarray | None:
    """Clips evenly spread over those that have a track, a row each, with a box a track in its colour; None without any.

    parts: `frames` (N, T, C, H, W) and `tracks` (N, M, T, 4). boxes: (N, M, T, 4) of the objects, drawn thin in white.
    """
    tracks = parts["tracks"]
    usable = numpy.flatnonzero(there(tracks).any(axis=(1, 2)))
    if not len(usable):
        return None
    chosen = usable[numpy.linspace(0, len(usable) - 1, min(CLIPS, len(usable))).round().astype(int)]
    times = numpy.linspace(0, tracks.shape[2] - 1, min(TIMES, tracks.shape[2])).round().astype(int)
    rows = []
    for row in chosen:
        true = None if boxes is None else boxes[row]
        rows.append([_drawn(parts["frames"][row, time], tracks[row], true, time) for time in times])
    return sheet(rows, len(times), gap=2)


def _drawn(frame: numpy.ndarray, tracks: numpy.ndarray, boxes: numpy.ndarray | None, time: int) -> numpy.ndarray:
    times = max(1, round(FRAME / max(frame.shape[1:])))
    picture = Image.fromarray(coloured(frame, times))
    pen = ImageDraw.Draw(picture)
    for box in [] if boxes is None else boxes[:, time]:
        if there(box):
            pen.rectangle(_corners(box, times), outline=TRUE, width=1)
    for number, box in enumerate(tracks[:, time]):
        if there(box):
            pen.rectangle(_corners(box, times), outline=PALETTE[(number + 1) % len(PALETTE)], width=2)
    return numpy.asarray(picture)


def _corners(box: numpy.ndarray, times: int) -> list[float]:
    """Left, top, right, bottom of the enlarged picture; the right and lower edges lie inside."""
    left, top, right, bottom = (float(times * edge) for edge in box)
    return [left, top, max(left, right - 1), max(top, bottom - 1)]
