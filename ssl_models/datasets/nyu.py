"""NYU-Depth v2 (Silberman et al. 2012): 1,449 indoor scenes of a Kinect, with surface normals from its depths.

The labelled part, nyu_depth_v2_labeled.mat, is a MATLAB 7.3 file: HDF5, with MATLAB's axes in reverse order.
Legend: N frames, W = 640 and H = 480 their sides, S the side of the resulting pictures.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from ssl_models.datasets._common.choices import check_test_fraction
from ssl_models.datasets._common.split import IMAGES, Dataset, Split

if TYPE_CHECKING:
    import h5py

FILE, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
WIDE, HIGH = 640, 480
FOCAL_X, FOCAL_Y, CENTER_X, CENTER_Y = 518.8579, 519.4696, 325.5824, 253.7362
"""The colour camera, to which the depths are projected, in pixels: camera_params.m of the authors' toolbox. The centre
is in MATLAB's coordinates, where the first pixel is 1."""
LEFT, TOP, SIDE = 107, 44, 427
"""The square that is kept: the middle of rows 45 to 471 and columns 41 to 601, which the toolbox calls the valid part;
around it the pictures have a white border."""
WINDOW = 21
"""Pixels of a frame, about: the side of the square that a plane is fitted to."""
STEP = 0.1
"""A neighbour is of another surface if its inverse depth differs by more than this share from the centre's; more in a
window that is wider than WINDOW because a pixel of the result is, and as much more."""


def load(*, seed: int, source: str = "", size: int = 64, test_fraction: float = 0.45) -> Dataset:
    """Images (N, 3, size, size) uint8 without labels, and `normals` where the Kinect has measured: `rawDepths` over 0,
    since filled-in depths are not measured (Fouhey 2016, "Evaluating surface normal predictions"); in a file without
    rawDepths, wherever `depths` are over 0.

    source: nyu_depth_v2_labeled.mat or a folder that holds it; where it is neither, the folder $COVEY_DATA/nyu or
    $COVEY_DATA itself. splits.mat beside it has the official 795 training and 654 test frames; WITHOUT it, what is
    measured is not comparable with what is published: test_fraction of the frames, drawn with `seed`, is then held out,
    though neighbouring frames may show the same room, and a warning says so.
    Raises FileNotFoundError where there is no such file; ValueError for settings out of range and a file that is not
    laid out as published, naming the entry.
    """
    path = _check(source, size, test_fraction)
    with _opened(path) as file:
        parts = _parts(path, len(file["images"]), seed, test_fraction)
        splits = [_split(file, frames, size) for frames in parts]
    return Dataset(splits[0], splits[1])


def count(*, source: str = "", size: int = 64, test_fraction: float = 0.45, seed: int = 0) -> tuple[int, int]:
    """How many frames `load` would give for train and test; no frame is read."""
    path = _check(source, size, test_fraction)
    with _opened(path) as file:
        train, test = _parts(path, len(file["images"]), seed, test_fraction)
    return len(train), len(test)


def normals(depths: ndarray, measured: ndarray, size: int) -> Tensor:
    """(3, size, size) float32 of length 1, x right, y down, z to the viewer; 0 where fewer than a quarter of the
    neighbours are known. depths: (H, W) metres along the axis of view. measured: (H, W) bool.

    On a plane n . P = d, seen through a pinhole at (u, v), the inverse depth is (n_x (u - c_x) / f_x +
    n_y (v - c_y) / f_y + n_z) / d: linear in u and v. So a plane through it is the surface's own, without an error
    of perspective; and the Kinect's noise is even in inverse depth. Means over the area of a pixel of the result
    stay on that plane, then it is fitted by least squares to the means in a window.
    """
    window = max(3, 2 * round(WINDOW * size / SIDE / 2 - 0.5) + 1)
    reach = window * len(depths) / size / 2
    step = STEP * max(1.0, 2 * reach / WINDOW)
    points, known = _means(depths, measured, size, step)
    moments = _moments(points, known, window, reach, step)
    # The determinant is 0 where all neighbours lie in one row, and no plane is known.
    usable = (4 * moments[..., 2, 2] >= window**2) & (torch.linalg.det(moments[..., :3]) > 1e-3)
    solution = torch.linalg.solve(moments[usable][:, :, :3], moments[usable][:, :, 3:])[..., 0]
    slope_u, slope_v, inverse = solution[:, 0] / reach, solution[:, 1] / reach, solution[:, 2]
    u, v = points[0, usable], points[1, usable]
    along_z = inverse - slope_u * (u - CENTER_X) - slope_v * (v - CENTER_Y)
    found = torch.zeros(3, size, size, dtype=torch.float64)
    # Of both directions, the one towards the camera, against d; and z is turned to point to the viewer.
    found[:, usable] = functional.normalize(torch.stack([-slope_u * FOCAL_X, -slope_v * FOCAL_Y, along_z]), dim=0)
    return found.float()


def _means(depths: ndarray, measured: ndarray, size: int, step: float) -> tuple[Tensor, Tensor]:
    """(3, S, S) float64: u, v and inverse depth, the means over a pixel's area of what is of the surface in its middle;
    (S, S) bool: that is half of the area or more. u and v are of the whole frame, from 1."""
    inverse = np.divide(1.0, depths, out=np.zeros(depths.shape), where=measured)
    edges = -(-np.arange(size + 1) * len(depths) // size)
    lengths, middle = np.diff(edges), (edges[:-1] + edges[1:]) // 2
    owner = middle.repeat(lengths)
    reference = inverse[owner][:, owner]
    same = measured & (np.abs(inverse - reference) <= step * reference)
    u, v = np.arange(depths.shape[1]) + LEFT + 1.0, np.arange(depths.shape[0]) + TOP + 1.0
    weighted = same * np.stack(np.broadcast_arrays(1.0, u, v[:, None], inverse))
    total = np.add.reduceat(np.add.reduceat(weighted, edges[:-1], 1), edges[:-1], 2)
    means, known = total[1:] / np.maximum(total[0], 1), 2 * total[0] >= np.outer(lengths, lengths)
    return torch.from_numpy(means), torch.from_numpy(known)


def _moments(points: Tensor, known: Tensor, window: int, reach: float, step: float) -> Tensor:
    """(S, S, 3, 4) of each pixel, summed over its neighbours: (u, v, 1) times (u, v, 1, inverse depth).

    u and v from the pixel itself, in `reach`. The neighbours are those in the window that are known and of the pixel's
    surface; a pixel that is not known has none.
    """
    size, half = points.shape[-1], window // 2
    padded = functional.pad(points, (half,) * 4)
    padded_known = functional.pad(known, (half,) * 4)
    total = torch.zeros(size, size, 3, 4, dtype=points.dtype)
    for down in range(window):
        for across in range(window):
            here = (..., slice(down, down + size), slice(across, across + size))
            u, v = (padded[here][:2] - points[:2]) / reach
            inverse = padded[here][2]
            same = padded_known[here] & known & ((inverse - points[2]).abs() <= step * points[2])
            row = torch.stack([u, v, torch.ones_like(u), inverse], 2) * same[..., None]
            total += row[..., :3, None] * row[..., None, :]
    return total


def _split(file: h5py.File, frames: ndarray, size: int) -> Split:
    images = torch.empty(len(frames), 3, size, size, dtype=torch.uint8)
    found = torch.empty(len(frames), 3, size, size, dtype=torch.float16)
    down, across = slice(TOP, TOP + SIDE), slice(LEFT, LEFT + SIDE)
    for place, frame in enumerate(frames):
        picture = torch.from_numpy(file["images"][frame].transpose(0, 2, 1)[:, down, across].astype(np.float32))
        images[place] = functional.adaptive_avg_pool2d(picture, size).round_().to(torch.uint8)
        depths = file["depths"][frame].T[down, across].astype(np.float64)
        # `depths` are filled in where the Kinect measured nothing, and are not ground truth there.
        raw = file["rawDepths"][frame].T[down, across] if "rawDepths" in file else depths
        measured = np.isfinite(depths) & (depths > 0) & (raw > 0)
        found[place] = normals(depths, measured, size).to(torch.float16)
    return Split({IMAGES: images}, truth={"normals": found})


def _parts(path: Path, frames: int, seed: int, test_fraction: float) -> tuple[ndarray, ndarray]:
    """Which frames, from 0, are for training and for testing."""
    splits = path.parent / SPLITS
    if splits.is_file():
        return _official(splits, frames)
    held_out = round(test_fraction * frames)
    if not 0 < held_out < frames:
        raise ValueError(f"'{path}' holds {frames} frames, too few to hold out test_fraction = {test_fraction} of them")
    warnings.warn(
        f"'{path.parent}' holds no {SPLITS} with the official frames for testing: {held_out} of {frames} are drawn; "
        "these numbers cannot be compared with published ones",
        stacklevel=3,
    )
    order = np.random.default_rng(seed).permutation(frames)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _official(path: Path, frames: int) -> tuple[ndarray, ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except (MatReadError, ValueError, NotImplementedError, OSError) as error:
        raise ValueError(f"'{path}' cannot be read as a MATLAB 5 file ({error}); fetch it again") from error
    parts = []
    for name in ("trainNdxs", "testNdxs"):
        if name not in content:
            raise ValueError(f"'{path}' has no entry '{name}'")
        part = np.asarray(content[name]).astype(np.int64).ravel() - 1  # MATLAB counts from 1
        if not len(part) or part.min() < 0 or part.max() >= frames:
            raise ValueError(f"'{path}': '{name}' must name frames from 1 to {frames}, which is how many {FILE} has")
        parts.append(part)
    if shared := np.intersect1d(parts[0], parts[1]).tolist():
        raise ValueError(f"'{path}': frame {shared[0] + 1} is in both trainNdxs and testNdxs")
    return parts[0], parts[1]


def _opened(path: Path) -> h5py.File:
    import h5py

    if not h5py.is_hdf5(path):
        with path.open("rb") as stream:
            older = stream.read(10) == b"MATLAB 5.0"
        what = "is a MATLAB 5 file" if older else "is neither, or is cut off"
        raise ValueError(f"'{path}' must be a MATLAB 7.3 file, which is HDF5; it {what}: fetch {FILE} again")
    file = h5py.File(path, "r")
    try:
        _check_layout(file, path)
    except ValueError:
        file.close()
        raise
    return file


def _check_layout(file: h5py.File, path: Path) -> None:
    frames = len(file["images"]) if "images" in file else 0
    shapes = {"images": (frames, 3, WIDE, HIGH), "depths": (frames, WIDE, HIGH), "rawDepths": (frames, WIDE, HIGH)}
    for name, shape in shapes.items():
        if name not in file:
            if name == "rawDepths":
                continue
            raise ValueError(f"'{path}' has no entry '{name}'; it has {', '.join(sorted(file)) or 'none'}")
        if file[name].shape != shape:
            raise ValueError(f"'{path}': '{name}' has the shape {file[name].shape}, not {shape}")
    if file["images"].dtype != np.uint8:
        raise ValueError(f"'{path}': 'images' are {file['images'].dtype}, not uint8")


def _check(source: str, size: int, test_fraction: float) -> Path:
    """The file; raises for settings out of range, and where there is none."""
    if not 16 <= size <= SIDE:
        raise ValueError(f"size = {size} must lie between 16 and {SIDE} pixels")
    check_test_fraction(test_fraction)
    data = os.environ.get("COVEY_DATA")
    places = [Path(source).expanduser(), Path(source).expanduser() / FILE] if source else []
    places += [Path(data) / "nyu" / FILE, Path(data) / FILE] if data else []
    for place in places:
        if place.suffix == ".mat" and place.is_file():
            return place
    looked = ", ".join(f"'{place}'" for place in places) or "nowhere, as neither `source` nor $COVEY_DATA is set"
    raise FileNotFoundError(f"NYU-Depth v2 was not found; looked for {FILE} in: {looked}")
