"""Leeds Sports Pose (Johnson & Everingham 2010, extended 2011): people in sports with 14 joints."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import archive
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
    "right wrist",
    "right elbow",
    "right shoulder",
    "left shoulder",
    "left elbow",
    "left wrist",
    "neck",
    "head top",
)
TORSO = ((9, 2), (8, 3))
"""Left shoulder to right hip, as PCK on this set is measured, or where one is not known right shoulder to left hip."""
ARCHIVES = (".tar", ".tar.gz", ".tgz")
IMAGE = re.compile(r"im0*(\d+)\.(?:jpe?g|png)", re.IGNORECASE)
FILES = dict[str, Path | bytes]


def load(*, seed: int, source: str = "", size: int = 64) -> Dataset:  # noqa: ARG001 - the split is as published
    """Images (N, 3, size, size) uint8, points (N, 14, 3), extent (N,): the torso's length, 0 where it is unknown.

    The first half of the people is for training, the second for testing, as published for the 2,000. The first of these
    that exists is read: the folder `source`; $COVEY_DATA/lsp; $COVEY_DATA/lsp.tar.gz, which is not unpacked. It holds
    images/imNNNN.jpg and joints.mat. The entry `joints` is (14, 3, N) in the extended set: x, y, and 1 where the joint
    was annotated. It is (3, 14, N) in the 2,000: the third row is 1 where the joint is hidden; all joints are annotated
    there, and all are scored, as published. Raises FileNotFoundError where none of these exists; ValueError for a size
    below 1 or another layout.
    """
    pose.check_size(size)
    skipped: list[str] = []
    people, place = _people(source, skipped)
    half = len(people) // 2
    return pose.read(people[:half], people[half:], JOINTS, size, place, skipped)


def count(*, source: str = "", size: int = 64, seed: int = 0) -> tuple[int, int]:  # noqa: ARG001 - as load
    """How many people `load` would read for train and test, with those whose picture is missing."""
    pose.check_size(size)
    people, _ = _people(source, [])
    return len(people) // 2, len(people) - len(people) // 2


def _people(source: str, skipped: list[str]) -> tuple[list[Person], str]:
    """Everyone, and the place; `skipped` gets a text for each picture that is left out."""
    place = pose.find(source, ("lsp", "lsp.tar.gz"), _holds, "Leeds Sports Pose (joints.mat and images/)")
    files = _folder_files(place) if place.is_dir() else _archive_files(place, skipped)
    if "joints.mat" not in files:
        raise ValueError(f"'{place}' lacks the file joints.mat")
    joints = _joints(files["joints.mat"], f"{place}/joints.mat")
    if len(joints) < 2:
        raise ValueError(f"'{place}/joints.mat' holds {len(joints)} people; it takes 2 to have a half for each split")
    found: dict[int, str] = {}
    for name in sorted(files):
        if (match := IMAGE.fullmatch(name)) and (taken := found.setdefault(int(match[1]), name)) != name:
            skipped.append(f"images/{name}: {taken} is of the same person, and the first by name is taken")
    return [
        Person(
            f"{place}/joints.mat, person {number}",
            files[found[number]] if number in found else place / "images" / f"im{number:04d}.jpg",
            one,
            pose.between(one, *TORSO),
        )
        for number, one in enumerate(joints, 1)
    ], str(place)


def _holds(place: Path) -> bool:
    return (place / "joints.mat").is_file() if place.is_dir() else place.name.endswith(ARCHIVES) and place.is_file()


def _joints(content: Path | bytes, source: str) -> ndarray:
    """(N, 14, 3) float64: x, y, known."""
    joints = np.asarray(pose.load_mat(content, "joints", source))
    if joints.ndim == 2:  # one person
        joints = joints[..., None]
    if joints.ndim == 3 and joints.shape[:2] == (14, 3):
        return joints.transpose(2, 0, 1).astype(np.float64)
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        moved = joints.transpose(2, 1, 0).astype(np.float64)
        moved[..., 2] = 1
        return moved
    raise ValueError(f"'{source}': the entry 'joints' is of shape {joints.shape}, not (14, 3, N) or (3, 14, N)")


def _folder_files(place: Path) -> FILES:
    images: FILES = {path.name: path for path in sorted((place / "images").glob("im*"))}
    return images | {"joints.mat": place / "joints.mat"}


def _archive_files(place: Path, skipped: list[str]) -> FILES:
    """joints.mat and images/im*, wherever they lie in the archive, with their bytes."""
    found: FILES = {}
    names: dict[str, str] = {}
    for member, content in archive.members(place, _is_wanted, skipped):
        name = PurePosixPath(member).name
        if (other := names.setdefault(name, member)) != member:
            raise ValueError(f"'{place}' holds both '{other}' and '{member}'; an archive holds one data set")
        found[name] = content
    return found


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name == "joints.mat" or (path.parent.name == "images" and bool(IMAGE.fullmatch(path.name)))
