"""Track retrieval: is the nearest patch at a later time the one that was followed to there?

What tracked patches are to learn (Wang & Gupta 2015, arXiv:1505.00687): the poses that a thing takes on its way lie
together, apart from other things.
Legend: K tracks of the test clips, one a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.boxes import there
from ssl_models.errors import NeedsParts, NeedsSamples
from ssl_models.hardware import pick_device, place
from ssl_models.modalities.inputs import inputs
from ssl_models.previews import coloured
from ssl_models.protocols._common.adaptation import outputs
from ssl_models.protocols._common.checks import sources_of
from ssl_models.protocols._common.intervals import proportion
from ssl_models.protocols._common.neighbour_rows import SHOWN, drawn, sheet
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.views.geometric import resample
from ssl_models.views.photometric import random_grey
from ssl_models.views.track_pairs import squares_about

NEEDS = ("encoder", "samples", "tracks")
TITLE = "track retrieval"
READING = (
    "The patch of each track at its first time looks for that at its last time, among those of all test clips. In "
    "grey and of even contrast, since colour and light alone find most; changed: of the half of the tracks whose "
    "patches differ most from pixel to pixel. Chance is one in the number of tracks."
)
HEADLINE = "recall1_changed"
UNITS = {"recall*": "share"}
EVERY = True
PARTS = ("frames", "tracks")
RANKS = (1, 5)
EVEN = 0.2
"""The deviation of a grey patch, whose mean is a half."""


@dataclass(frozen=True)
class Patches:
    """Of each track the patch at its first and at its last time (2, K, C, size, size) uint8; its clip's source (K,)."""

    both: Tensor
    source: ndarray


def evaluate(representation: Representation, *, seed: int, size: int = 32) -> Findings:
    """recall1 and recall5 by cosine, of patches in colour, and `_grey` of even contrast.

    `_changed` is `_grey` of the half of the tracks whose two patches differ most, pixel by pixel: what only slides on
    looks the same at both times, and is found without any idea of it.

    Of each test clip the first track that is followed in two frames counts, at the first and at the last of them. A
    patch is the square about its box, scaled to `size` pixels. Patches of other clips of the same video are no
    candidates. Of equal ones the first is the nearest, so that a constant encoder is right once in K. What changes
    between the two times is place, and pose as far as the thing turns or bends. Intervals are over sources, see
    intervals.over_sources.

    The picture: eight tracks, drawn with `seed`; to the right of the first time's patch its ten nearest, in grey, with
    a green frame around its own.
    Raises NeedsParts for samples without frames and tracks, NeedsSamples for fewer than two tracks, ValueError for a
    size out of range.
    """
    refuse(size=size)
    patches = _patches(representation, size)
    grey, everything = _grey(patches.both), np.arange(len(patches.source))
    in_colour, in_grey = (_nearest(representation, shown, patches.source) for shown in (patches.both, grey))
    asked = {"": (in_colour, everything), "_grey": (in_grey, everything), "_changed": (in_grey, _most_changed(grey))}
    scores: list[Score] = []
    for suffix, (nearest, rows) in asked.items():
        right = nearest[rows] == rows[:, None]
        scores += [
            proportion("", f"recall{rank}{suffix}", right[:, :rank].any(1), patches.source[rows]) for rank in RANKS
        ]
    pictures = np.asarray(grey)
    chosen = drawn(np.zeros(len(everything), np.int64), seed)
    shown = in_grey[chosen][:, :SHOWN]
    picture = sheet(
        lambda row: coloured(pictures[0, row]),
        lambda row: coloured(pictures[1, row]),
        chosen,
        shown,
        shown == chosen[:, None],
    )
    return Findings(scores, {"tracks": picture})


def refuse(*, size: int = 32) -> None:
    """Raises ValueError for settings that `evaluate` cannot work with."""
    if not isinstance(size, int) or size < 8:
        raise ValueError(f"size = {size!r} must be a whole number of pixels, at least 8")


def _patches(representation: Representation, size: int) -> Patches:
    samples = representation.samples("test")
    if any(part not in samples for part in PARTS):
        raise NeedsParts(PARTS, samples, "the protocol 'track_retrieval'")
    tracks = torch.from_numpy(np.array(samples["tracks"]))
    followed = there(tracks)  # (N, M, T)
    usable = followed.sum(2) >= 2
    clips = usable.any(1).nonzero()[:, 0] if usable.shape[1] else usable.new_zeros(0, dtype=torch.int64)
    if len(clips) < 2:
        raise NeedsSamples(f"{len(clips)} of {len(tracks)} test clips have a track of two frames; 2 are the least")
    number = usable[clips].int().argmax(1)
    seen = followed[clips, number].int()  # (K, T)
    times = torch.stack([seen.argmax(1), seen.shape[1] - 1 - seen.flip(1).argmax(1)], 1)  # (K, 2)
    boxes = tracks[clips, number].gather(1, times[..., None].expand(-1, -1, 4))
    height, width = samples["frames"].shape[-2:]
    squares = squares_about(boxes, Generator().manual_seed(0), height, width, context=1.0, jitter=0.0, flip=0.0)
    cut = []
    for clip, when, where in zip(clips.tolist(), times, squares, strict=True):
        pictures = inputs(torch.from_numpy(np.array(samples["frames"][clip])[when.numpy()]))
        cut.append((resample(pictures, where[:, None], size, size)[:, 0] * 255).round().to(torch.uint8))
    return Patches(torch.stack(cut, 1), sources_of(samples)[clips.numpy()])


def _grey(patches: Tensor) -> Tensor:
    """Of three channels their luminance, three times, each patch with the same mean and deviation; others likewise."""
    shown = random_grey(inputs(patches.flatten(0, 1)), Generator().manual_seed(0), probability=1.0)
    flat = shown.flatten(1)
    even = (flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True).clamp(min=1 / 255)
    return ((0.5 + EVEN * even).clamp(0, 1) * 255).round().to(torch.uint8).view_as(patches)


def _most_changed(grey: Tensor) -> ndarray:
    """(2, K, C, size, size) -> the half of the K tracks whose patches differ most, at least one."""
    first, last = grey.float()
    difference = (first - last).abs().flatten(1).mean(1)
    order = difference.sort(descending=True, stable=True).indices
    return np.sort(order[: max(1, len(order) // 2)].numpy())


def _nearest(representation: Representation, patches: Tensor, source: ndarray) -> ndarray:
    """(K, k): of each track's first patch the nearest last ones, other clips of its own video left out."""
    encoder = representation.encoder().reading(PARTS[:1]).eval()
    encoder.reads(PARTS[:1])
    place(encoder, pick_device(), channels_last=encoder.convolutional)
    first, last = (
        functional.normalize(outputs(encoder, each.numpy(), precision=representation.precision)) for each in patches
    )
    if not (first.isfinite().all() and last.isfinite().all()):
        raise ValueError("the encoder gives vectors of patches that are not finite; train again")
    cosine = first @ last.T
    beside = torch.from_numpy(source[:, None] == source) & ~torch.eye(len(source), dtype=torch.bool)
    cosine[beside] = -torch.inf
    order = cosine.sort(dim=1, descending=True, stable=True).indices
    return order[:, : max(SHOWN, *RANKS)].numpy()
