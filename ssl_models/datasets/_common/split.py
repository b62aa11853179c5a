"""A data set in memory: samples, labels where there are any, and the factors and annotations that are known.

A sample is a row of named parts, each of a fixed shape; readers cut what is longer into windows. The type of a part's
numbers is their meaning (modalities/inputs.py). Splits go by recording, document or video, never by window.

    images     (N, C, H, W) uint8; C is 3 for RGB, and 4 for RGB and nearness (0: farthest)
    frames     (N, T, C, H, W) uint8, the frames of a clip
    sound      (N, S) int16, one channel; Dataset.known tells the `rate` in Hz
    length     (N, 1) int32: how many numbers of `sound` are not padding, at the start
    tokens     (N, L) int32: ids of words, 0 for no word; Dataset.known tells the `words`, and their `counts` in all
               training samples; the first of both stands for no word. A row never holds words of two documents
    vectors    (N, D) float32; Dataset.known tells whether they are `binary`, of 0 and 1 alone, the `mean` and the
               `deviation` of each number in the training split, and where they can be told: the `extent` of real ones,
               [[lowest, highest], ...], outside of which nothing matters; the `grid` [height, width] that binary ones
               are drawn as; the true `couplings` (D, D) and `fields` (D,) of encoders/boltzmann.py; and the true
               `surface` of two real numbers, log p in the middles of cells over the extent, [first][second]
    tracks     (N, M, T, 4) float32: where each of M tracked patches is in each frame of a clip, as left, top, right,
               bottom in pixels of `frames`; all 0 in a frame where it is not followed, and throughout for no track
    source     (N, 1) int32: which recording or video of its split a window was cut from, numbered from 0

Annotations, each under its kind in `Split.truth`; lengths are pixels of `images` or `frames`, x to the right and y
down, and pixel (0, 0) covers [0, 1) both ways. K classes, P points, M boxes of all N samples together:

    boxes      (M, 7) float32: sample, class, left, top, right, bottom, difficult (1 where a score must not count it)
    present    (N, K) int8: whether a sample shows a class; -1 where it shows difficult ones only, which do not count
    points     (N, P, 3) float32: x, y, visible (0: not to be scored)
    extent     (N,) float32: the length that errors of points are measured by, of a torso or an object; 0 where unknown
    normals    (N, 3, H, W) float16: unit vectors, x right, y down, z towards the viewer; all 0 where unknown
    masks      (N, H, W) uint8: 0, or a number from 1 that each object of a sample has for itself
    phones     (N, T) int8: the phone that is spoken in each 10 ms of `sound`, -1 where none is
    frame_boxes   (N, M, T, 4) float32: the box of each of M objects in each frame of a clip, as `tracks`
    frame_points  (N, T, P, 3) float32: as `points`, of each frame of a clip that shows one object
    frame_extent  (N, T) float32: as `extent`, of each frame
    source_box    (N, 4) float32: left, top, right, bottom of the object that sounds; all 0 where nothing does
    log_density   (N,) float32: log p of a sample in the distribution that it was drawn from, in nats
    labels.X   (N,) int64: a further set of labels, X one of Dataset.label_sets
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

IMAGES, SOURCE = "images", "source"


@dataclass(frozen=True)
class Origin:
    """Where each of N samples comes from.

    files: names relative to the source. sizes: (N, 2) int32, width and height of the whole picture in pixels, or None.
    groups: what each was taken with, which lies in one split whole; empty where no groups are known.
    """

    files: tuple[str, ...]
    sizes: Tensor | None = None
    groups: tuple[str, ...] = ()


OTHER, UNREADABLE, UNLABELLED, UNUSED = "other", "unreadable", "unlabelled", "unused"
"""Why files are left out: a suffix that is not read; a fault; no label; a folder or split that is not used."""


@dataclass(frozen=True)
class LeftOut:
    """Files of one suffix that were left out for one reason. example: the name of one of them. kind: see above."""

    suffix: str
    reason: str
    count: int
    example: str
    kind: str = UNREADABLE


@dataclass(frozen=True)
class Split:
    """parts: see above. labels: (N,) int64 or None. factors: name -> (N,) or (N, k) float32. truth: see above.

    written: the parts that the reader has itself written into the folder `room`, as <split>.<part>.npy; they are
        memory-mapped, and nobody writes them again.
    """

    parts: dict[str, Tensor]
    labels: Tensor | None = None
    factors: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)
    origin: Origin | None = None
    written: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8, of a data set of pictures."""
        return self.parts[IMAGES]


@dataclass(frozen=True)
class Dataset:
    """Two splits, the names of the classes (empty: no labels), and the entries that could not be read.

    skipped: a text for each entry that was left out, with its name and the reason. points: names of the points in
        `Split.truth`. notes: what else its user should know: files passed over, by suffix; how greys were scaled.
    known: what methods and pages may use besides, as JSON holds it: `rate` of sound and `fps` of frames in Hz,
        `words`, `counts`.
    label_sets: further sets of labels, such as the speaker -> the names of its classes.
    left_out: how many files of each suffix were not read, for each reason; `skipped` names the unreadable ones.
    size: pictures are used at size x size, the middle of what is stored, which random crops may take in whole; None
        where they are stored as they are used.
    what: what the source was taken for, in one line, where the reader tells it.
    """

    train: Split
    test: Split
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    known: dict[str, Any] = field(default_factory=dict)
    label_sets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    size: int | None = None
    what: str = ""
