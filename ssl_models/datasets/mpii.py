"""MPII Human Pose (Andriluka et al. 2014): people in everyday life with up to 16 joints, from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common.choices import check_test_fraction
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._pose import pose
from ssl_models.datasets._pose.pose import Person

JOINTS = (
    "right ankle",
    "right knee",
    "right hip",
    "left hip",
    "left knee",
    "left ankle",
    "pelvis",
    "thorax",
    "upper neck",
    "head top",
    "right wrist",
    "right elbow",
    "right shoulder",
    "left shoulder",
    "left elbow",
    "left wrist",
)
FILE = "mpii_human_pose_v1_u12_1.mat"
HEAD = 0.6
"""Of the diagonal of the head's rectangle: the length of the head's segment, as in the authors' evaluation (PCKh)."""


def load(*, seed: int, source: str = "", size: int = 64, test_fraction: float = 0.2) -> Dataset:
    """Images (N, 3, size, size) uint8, points (N, 16, 3), extent (N,): the head's length, 0 where it is unknown.

    Only the joints of the training pictures were published. The test split is a share `test_fraction` of their videos,
    drawn with `seed`, so that no video is in both splits; where no video is named, a picture counts as one. Only people
    that stand apart from others are taken, as in the benchmark's single-person part (single_person). Hidden joints are
    scored, as there. PCKh is usually reported at 0.5 of the extent. The first of these folders that exists is read:
    `source`, $COVEY_DATA/mpii, $COVEY_DATA/MPII. It holds images/ and mpii_human_pose_v1_u12_1.mat. Raises
    FileNotFoundError where there is no such folder; ValueError for settings out of range or another layout.
    """
    train, test, place = _people(source, size, test_fraction, seed)
    return pose.read(train, test, JOINTS, size, place)


def count(*, source: str = "", size: int = 64, test_fraction: float = 0.2, seed: int = 0) -> tuple[int, int]:
    """How many people `load` would read for train and test, with those whose picture is missing."""
    train, test, _ = _people(source, size, test_fraction, seed)
    return len(train), len(test)


def _people(source: str, size: int, test_fraction: float, seed: int) -> tuple[list[Person], list[Person], str]:
    pose.check_size(size)
    check_test_fraction(test_fraction)
    folder = pose.find(source, ("mpii", "MPII"), lambda place: (place / FILE).is_file(), f"MPII ({FILE} and images/)")
    by_video: dict[str, list[Person]] = {}
    for video, person in _annotated(folder):
        by_video.setdefault(video, []).append(person)
    if len(by_video) < 2:
        raise ValueError(f"'{folder / FILE}' has {len(by_video)} videos or pictures with joints; a split takes 2")
    held_out = min(len(by_video) - 1, max(1, round(len(by_video) * test_fraction)))
    chosen = set(np.random.default_rng(seed).permutation(len(by_video))[:held_out].tolist())
    train, test = (
        [person for row, people in enumerate(by_video.values()) if (row in chosen) == tested for person in people]
        for tested in (False, True)
    )
    return train, test, str(folder)


def _annotated(folder: Path) -> Iterator[tuple[str, Person]]:
    """The video, or else the picture, and the person; for each person with joints that stands apart."""
    file = str(folder / FILE)
    release = pose.load_mat(folder / FILE, "RELEASE", file)
    pictures = pose.as_list(pose.entry(release, "annolist", file, "RELEASE"))
    trained = np.atleast_1d(pose.entry(release, "img_train", file, "RELEASE"))
    apart = pose.entry(release, "single_person", file, "RELEASE")
    apart = [apart] if len(pictures) == 1 else pose.as_list(apart)
    if not len(pictures) == len(trained) == len(apart):
        raise ValueError(f"'{file}': RELEASE's annolist, img_train and single_person are not of one length")
    for row, (picture, chosen) in enumerate(zip(pictures, apart, strict=True), 1):
        if not trained[row - 1]:
            continue
        place = f"RELEASE.annolist({row})"
        name = str(pose.entry(pose.entry(picture, "image", file, place), "name", file, f"{place}.image"))
        video = pose.number(getattr(picture, "vididx", None))
        group = f"video {video:.0f}" if isfinite(video) else name
        people = pose.as_list(pose.entry(picture, "annorect", file, place))
        for number in np.atleast_1d(chosen).astype(int).tolist():
            if 1 <= number <= len(people) and hasattr(getattr(people[number - 1], "annopoints", None), "point"):
                who = f"{place}.annorect({number})"
                yield group, _person(people[number - 1], folder / "images" / name, file, who)


def _person(rectangle: Any, picture: Path, file: str, place: str) -> Person:
    corners = [pose.number(getattr(rectangle, name, None)) for name in ("x1", "y1", "x2", "y2")]
    head = HEAD * float(np.hypot(corners[2] - corners[0], corners[3] - corners[1]))
    joints = _joints(pose.as_list(rectangle.annopoints.point), file, place)
    return Person(f"{file}, {place}", picture, joints, head if np.isfinite(head) else 0.0)


def _joints(points: list[Any], file: str, place: str) -> ndarray:
    """(16, 3): x, y, known; MATLAB's first pixel has its centre at 1, ours at 1/2."""
    joints = np.zeros((len(JOINTS), 3))
    for point in points:
        number, x, y = (
            pose.number(pose.entry(point, name, file, f"{place}.annopoints.point")) for name in ("id", "x", "y")
        )
        if np.isfinite([number, x, y]).all() and 0 <= number < len(JOINTS):
            joints[int(number)] = x - 0.5, y - 0.5, 1
    return joints
