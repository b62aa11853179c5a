"""Frames Labeled In Cinema (Sapp & Taskar 2013): people in films with 11 joints of the upper body, from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._pose import pose
from ssl_models.datasets._pose.pose import Person

COLUMNS = {
    "left shoulder": 0,
    "left elbow": 1,
    "left wrist": 2,
    "right shoulder": 3,
    "right elbow": 4,
    "right wrist": 5,
    "left hip": 6,
    "right hip": 9,
    "left eye": 12,
    "right eye": 13,
    "nose": 16,
}
"""Where each joint stands among the 29 columns of `coords`; the others are empty in the published file."""
JOINTS = tuple(COLUMNS)
TORSO = ((0, 7), (3, 6))
"""Of JOINTS: left shoulder to right hip, as the authors' evaluation measures, or the other diagonal."""
FILE = "examples.mat"


def load(*, seed: int, source: str = "", size: int = 64) -> Dataset:  # noqa: ARG001 - the split is as published
    """Images (N, 3, size, size) uint8, points (N, 11, 3), extent (N,): the torso's length, 0 where it is unknown.

    The first of these folders that exists is read: `source`, $COVEY_DATA/flic, $COVEY_DATA/FLIC. It holds images/ and
    examples.mat, whose struct array `examples` has filepath, coords (2, 29), istrain and istest. People in neither
    split are skipped. Raises FileNotFoundError where there is no such folder; ValueError for a size below 1 or another
    layout.
    """
    pose.check_size(size)
    train, test, place = _people(source)
    return pose.read(train, test, JOINTS, size, place)


def count(*, source: str = "", size: int = 64, seed: int = 0) -> tuple[int, int]:  # noqa: ARG001 - as load
    """How many people `load` would read for train and test, with those whose picture is missing."""
    pose.check_size(size)
    train, test, _ = _people(source)
    return len(train), len(test)


def _people(source: str) -> tuple[list[Person], list[Person], str]:
    folder = pose.find(source, ("flic", "FLIC"), lambda place: (place / FILE).is_file(), f"FLIC ({FILE} and images/)")
    file = folder / FILE
    train: list[Person] = []
    test: list[Person] = []
    for row, example in enumerate(pose.as_list(pose.load_mat(file, "examples", str(file))), 1):
        place = f"examples({row})"
        chosen = train if _flag(example, "istrain", file, place) else test
        if chosen is train or _flag(example, "istest", file, place):
            chosen.append(_person(example, folder, file, place))
    if not train or not test:
        raise ValueError(
            f"'{file}' has {len(train)} examples with istrain and {len(test)} with istest; both are needed"
        )
    return train, test, str(folder)


def _person(example: Any, folder: Path, file: Path, place: str) -> Person:
    joints = _joints(pose.entry(example, "coords", str(file), place), file, place)
    picture = folder / "images" / str(pose.entry(example, "filepath", str(file), place))
    return Person(f"{file}, {place}", picture, joints, pose.between(joints, *TORSO))


def _flag(example: Any, name: str, file: Path, place: str) -> bool:
    return pose.number(pose.entry(example, name, str(file), place)) > 0


def _joints(coords: Any, file: Path, place: str) -> ndarray:
    """(2, 29) -> (11, 3): x, y, known; MATLAB's first pixel has its centre at 1, ours at 1/2."""
    coords = np.asarray(coords, np.float64)
    if coords.shape != (2, 29):
        raise ValueError(f"'{file}': the entry '{place}.coords' is of shape {coords.shape}, not (2, 29)")
    chosen = coords[:, list(COLUMNS.values())].T
    known = np.isfinite(chosen).all(1)
    return np.column_stack([np.where(known[:, None], chosen - 0.5, 0), known])
