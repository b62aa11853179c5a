"""People with named joints: what the readers of Leeds Sports Pose, FLIC and MPII share.

A person is cut out around the joints, as a square of unchanged aspect ratio; the joints are moved accordingly.
Legend: N people, P joints; lengths in pixels, x to the right and y down.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from ssl_models.cores import cores
from ssl_models.datasets._common import pictures
from ssl_models.datasets._common.scaling import Depths, in_one_range
from ssl_models.datasets._common.split import IMAGES, Dataset, Split

MARGIN = 0.15
"""Margin of a crop around the joints' box on each side, as a share of the box's longer side."""
FEWEST = 2
"""The least number of joints of a person; the box around fewer does not locate the person."""


@dataclass(frozen=True)
class Person:
    """One annotation: its name in errors, the picture's file or bytes, joints (P, 3): x, y, known; and the extent.

    extent: the length that errors are measured by; 0 where it is not known, and such a person is not scored.
    """

    name: str
    picture: Path | bytes
    joints: ndarray
    extent: float


def read(
    train: Sequence[Person],
    test: Sequence[Person],
    points: tuple[str, ...],
    size: int,
    source: str,
    skipped: Sequence[str] = (),
) -> Dataset:
    """Decodes both lists: images (N, 3, size, size) uint8, points and extent as Split.truth has them, no labels.

    People that cannot be shown are left out, and a joint outside its picture is not scored; both are named in
    `Dataset.skipped`, after what the caller has `skipped`. Pictures are shown as they are stored, since MATLAB, with
    which these data sets were annotated, reads them so. Raises ValueError where a split has no people left; `source` is
    named in the message.
    """
    found, notes = in_one_range(lambda depths: _read((train, test), points, size, source, depths))
    return replace(found, skipped=(*skipped, *found.skipped), notes=notes)


def _read(
    people_of: tuple[Sequence[Person], Sequence[Person]],
    points: tuple[str, ...],
    size: int,
    source: str,
    depths: Depths,
) -> Dataset:
    splits: list[Split] = []
    skipped: list[str] = []
    for part, people in zip(("training", "test"), people_of, strict=True):
        shown, notes = _decode_all(people, points, size, depths)
        if not shown:
            raise ValueError(f"{source}: none of the {len(people)} {part} people can be read; {(notes or ['-'])[0]}")
        images, joints, extents = (np.stack(column) for column in zip(*shown, strict=True))
        truth = {"points": torch.from_numpy(joints), "extent": torch.from_numpy(extents)}
        splits.append(Split({IMAGES: torch.from_numpy(images)}, truth=truth))
        skipped += notes
    return Dataset(splits[0], splits[1], skipped=tuple(skipped), points=points)


def cut_out(picture: ndarray, joints: ndarray, size: int) -> tuple[ndarray, ndarray, float]:
    """The square around the known joints as (3, size, size) uint8; the joints in it, (P, 3); and the enlargement.

    picture: (H, W, 3) uint8. The square's side is that of the joints' box with MARGIN, its middle theirs; what it
    shows beyond the picture is black. Joints that are not known are 0, 0, 0.
    """
    from PIL import Image

    known = joints[:, 2] > 0
    low, high = joints[known, :2].min(0), joints[known, :2].max(0)
    side = max(float((high - low).max()) * (1 + 2 * MARGIN), 1.0)
    left, top = (low + high) / 2 - side / 2
    # Pillow reads a box of fractions, but none beyond the picture: so it is padded as far as the box reaches.
    first = np.floor([top, left]).astype(int)
    last = np.ceil([top + side, left + side]).astype(int)
    before, after = np.maximum(-first, 0), np.maximum(last - picture.shape[:2], 0)
    begin, end = np.maximum(first, 0), np.minimum(last, picture.shape[:2])
    part = picture[begin[0] : end[0], begin[1] : end[1]]
    padded = np.pad(part, [(before[0], after[0]), (before[1], after[1]), (0, 0)])
    high_side, wide_side = padded.shape[:2]  # which rounding must not exceed
    x, y = left - first[1], top - first[0]
    box = (x, y, min(x + side, wide_side), min(y + side, high_side))
    square = Image.fromarray(padded).resize((size, size), Image.Resampling.BICUBIC, box=box)
    moved = np.zeros_like(joints, dtype=np.float32)
    moved[known, :2] = (joints[known, :2] - (left, top)) * (size / side)
    moved[known, 2] = 1
    return np.asarray(square).transpose(2, 0, 1), moved, size / side


def between(joints: ndarray, *pairs: tuple[int, int]) -> float:
    """The distance of the first pair of joints that are both known; 0 where there is none."""
    for first, second in pairs:
        if joints[first, 2] > 0 and joints[second, 2] > 0:
            return float(np.hypot(*(joints[first, :2] - joints[second, :2])))
    return 0.0


def load_mat(content: Path | bytes, name: str, source: str) -> Any:
    """The variable `name` of a MATLAB file, structs as objects with attributes; ValueError where there is none."""
    from scipy.io import loadmat

    try:
        opened = BytesIO(content) if isinstance(content, bytes) else str(content)
        found = loadmat(opened, squeeze_me=True, struct_as_record=False)
    except MemoryError:
        raise
    except Exception as error:  # SciPy raises many types for broken files; those of MATLAB 7.3 are HDF5
        raise ValueError(f"'{source}' cannot be read as a MATLAB file before 7.3 ({error}); fetch it again") from error
    if name not in found:
        there = ", ".join(sorted(key for key in found if not key.startswith("__"))) or "nothing"
        raise ValueError(f"'{source}' lacks the entry '{name}'; it holds {there}")
    return found[name]


def entry(struct: Any, name: str, source: str, place: str) -> Any:
    """A field of a struct that load_mat gave; ValueError with the file and the field's place where it is missing."""
    if not hasattr(struct, name):
        raise ValueError(f"'{source}' lacks the entry '{place}.{name}'")
    return getattr(struct, name)


def as_list(value: Any) -> list[Any]:
    """The elements of a struct array. MATLAB stores one element like an array of one, and none like an empty array."""
    return list(value.flat) if isinstance(value, ndarray) else [value]


def number(value: Any) -> float:
    """A number that may be empty or a text ("", "0", "1" as in MPII); not a number where there is none."""
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError):
        return float("nan")


def find(source: str, names: Iterable[str], holds: Callable[[Path], bool], what: str) -> Path:
    """The first that `holds` what a reader needs: the folder `source`, then each of `names` in $COVEY_DATA."""
    data = os.environ.get("COVEY_DATA")
    given = [Path(source).expanduser()] if source else []
    places = given + [Path(data) / name for name in names if data]
    for place in places:
        if holds(place):
            return place
    if not places:
        raise FileNotFoundError(f"{what} was not found: neither `source` nor $COVEY_DATA is set; set one of them")
    looked = ", ".join(f"'{place}'" for place in places)
    raise FileNotFoundError(f"{what} was not found at {looked}; put it at one of these places, or set `source`")


def check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size = {size} must be at least 1 pixel")


def _decode_all(
    people: Sequence[Person], points: tuple[str, ...], size: int, depths: Depths
) -> tuple[list[Any], list[str]]:
    """Image, joints and extent of each person that can be shown, and what was left out."""
    shown, notes = [], []
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        decoded = pool.map(lambda one: _decode(one, points, size, depths), people)
        for person, (found, said) in zip(people, decoded, strict=True):
            shown += [found] if found else []
            notes += [f"{person.name}: {text}" for text in said]
    return shown, notes


def _decode(
    person: Person, points: tuple[str, ...], size: int, depths: Depths
) -> tuple[tuple[ndarray, ndarray, ndarray] | None, list[str]]:
    try:
        with pictures.opened(person.picture) as image:
            picture = np.asarray(pictures.as_rgb(image, depths, upright=False))
    except MemoryError:
        raise
    except FileNotFoundError:
        return None, [f"the picture '{person.picture!s}' is missing"]
    except Exception as error:  # Pillow raises many types for broken files
        return None, [f"the picture cannot be read ({pictures.reason(error)})"]
    joints = person.joints.astype(np.float32)
    known = joints[:, 2] > 0
    inside = np.isfinite(joints[:, :2]).all(1) & (joints[:, :2] >= 0).all(1)
    inside &= (joints[:, 0] < picture.shape[1]) & (joints[:, 1] < picture.shape[0])
    notes = [f"the joint '{points[joint]}' lies outside the picture" for joint in np.flatnonzero(known & ~inside)]
    joints[:, 2] = known & inside
    if joints[:, 2].sum() < FEWEST:
        return None, [*notes, f"fewer than {FEWEST} joints are known"]
    square, moved, scale = cut_out(picture, joints, size)
    return (square, moved, np.array(person.extent * scale, np.float32)), notes
