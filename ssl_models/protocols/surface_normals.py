"""Surface normals at every pixel, predicted from a representation's maps (Fouhey et al. 2013; Goyal et al. 2019).

The measures are those of Fouhey, Gupta and Hebert 2013 ("Data-driven 3D primitives for single image understanding"),
by which Goyal et al. 2019 (arXiv:1905.01235) rank self-supervised networks on NYU-v2. The head joins the maps of
several layers at each position, as the hypercolumns of Bansal et al. 2016 (arXiv:1604.01347) do.
Legend: N samples, B of a batch, C channels, H and W sides of a picture, h and w of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from ssl_models.bounds import require_fraction
from ssl_models.previews import coloured
from ssl_models.protocols._common import adaptation
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.named import named
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._surface_normals.normal_maps import ROWS, Normals, Truth
from ssl_models.rows import Samples
from ssl_models.trainer import Settings

NEEDS = ("encoder", "images", "normals")
TITLE = "surface normals"
READING = (
    "The direction of the surface is predicted for every pixel: the share of pixels within an angle of the truth, and "
    "the angle itself, of which less is better."
)
HEADLINE = "within_11"
UNITS = {"within_*": "share", "*_angle": "degrees"}
CURVES = "The share of pixels whose normal is within an angle of the truth; N_cf dashed."
LIMITS = {"within_11": 11.25, "within_22": 22.5, "within_30": 30.0}
"""Metric -> degrees."""
BIN = 0.25
"""Width of a bin of the angles' histograms, in degrees. Each of LIMITS is the edge of a bin."""
WEIGHT_DECAY = 0.0001
SHOWN, SHOWN_SIDE = 8, 128
"""Test pictures that are drawn, and the least width of each."""


def evaluate(
    representation: Representation,
    *,
    seed: int,
    frozen: bool = True,
    foreground: bool = True,
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.02,
    width: int = 64,
    stride: int = 4,
    flip: float = 0.5,
) -> Findings:
    """The shares of pixels whose normal is predicted to within 11.25, 22.5 and 30 degrees (higher is better), and the
    mean and median angle in degrees between prediction and truth (LOWER is better).

    Every pixel of the test pictures counts alike. 95 % intervals are by bootstrap over pictures. A head is trained on
    the training pictures to minimise 1 - cosine.

    frozen: only the head is trained. With False the encoder is trained too, at the same learning rate; take a tenth of
    the default then. foreground: for data with masks, train and score on the objects only. The wall behind them has one
    normal, which any representation finds. Without masks, or with False, all pixels with a known normal count.
    learning_rate: of AdamW, for a batch of 256, see trainer.Settings. width, stride: see Head. flip: probability of a
    left-right flip, which mirrors the vectors too.
    Raises NeedsTruth (from the representation), ValueError for settings out of range or truth that does not fit.
    """
    refuse(
        frozen=frozen,
        foreground=foreground,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        width=width,
        stride=stride,
        flip=flip,
    )
    train, test = (Truth.of(representation, split, foreground) for split in ("train", "test"))
    images, test_images = representation.images("train"), representation.images("test")
    train.check("train", images)
    test.check("test", test_images)
    torch.manual_seed(seed)
    shape = images.shape[1:]
    method = Normals(representation.encoder(), train, shape, frozen=frozen, width=width, stride=stride, flip=flip)
    settings = _training(epochs, batch_size, learning_rate)
    adaptation.train(method, [images], settings, seed=seed, precision=representation.precision)
    return _findings(method.eval(), test_images, test, seed, representation)


def refuse(
    *,
    frozen: bool = True,  # noqa: ARG001 - as evaluate
    foreground: bool = True,  # noqa: ARG001 - as evaluate
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.02,
    width: int = 64,
    stride: int = 4,
    flip: float = 0.5,
) -> None:
    """Raises ValueError for settings out of range."""
    _training(epochs, batch_size, learning_rate)
    if width < 1:
        raise ValueError(f"width = {width} must be at least 1")
    if not 1 <= stride <= 32:
        raise ValueError(f"stride = {stride} must lie between 1 and 32 pixels")
    require_fraction(flip=flip)


def _training(epochs: int, batch_size: int, learning_rate: float) -> Settings:
    return Settings(epochs, batch_size, "adamw", learning_rate, weight_decay=WEIGHT_DECAY)


def angles(found: Tensor, truth: Tensor) -> Tensor:
    """Degrees (B, H, W) float64 between vectors (B, 3, H, W) of any length; 90 for a vector of length 0."""
    cosine = (functional.normalize(found.double(), dim=1) * functional.normalize(truth.double(), dim=1)).sum(1)
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


def _findings(method: Normals, images: Samples, truth: Truth, seed: int, representation: Representation) -> Findings:
    histograms, totals = [], []
    shown: dict[int, tuple[ndarray, ndarray, ndarray]] = {}
    precision = representation.precision
    for block, found in adaptation.blocks(method.vectors, images, precision=precision, batch_size=ROWS):
        for row, vectors, one in zip(range(block.start, block.stop), found, truth.rows(block), strict=True):
            counted = one.any(0)
            if not counted.any():
                continue
            off = angles(vectors[None], one[None])[0][counted].numpy()
            histograms.append(_histogram(off))
            totals.append(off.sum())
            if len(shown) < SHOWN:
                shown[row] = images[row], one.numpy(), (functional.normalize(vectors, dim=0) * counted).numpy()
    histogram = np.stack(histograms)  # (pictures, bins)
    return Findings(
        _scores(histogram, np.array(totals), seed),
        {"normals": _drawn(list(shown.values()))},
        {"within": _curve(histogram)},
        named(representation, "normals", shown),
    )


def _histogram(off: ndarray) -> ndarray:
    """Angles in degrees -> (180 / BIN,): the number in each bin. A bin lacks its upper edge, except the last."""
    bins = np.minimum(off / BIN, 180 / BIN - 1).astype(np.int64)
    return np.bincount(bins, minlength=round(180 / BIN)).astype(np.float64)


def _scores(histogram: ndarray, totals: ndarray, seed: int) -> list[Score]:
    """From the histograms (M, bins) and sums (M,) of the angles in M pictures, each with at least one angle."""
    pixels = histogram.sum(1)
    statistics: dict[str, Callable[[ndarray], float]] = {
        name: partial(_ratio, histogram[:, : round(limit / BIN)].sum(1), pixels) for name, limit in LIMITS.items()
    }
    statistics["mean_angle"] = partial(_ratio, totals, pixels)
    statistics["median_angle"] = partial(_median, histogram)
    everything = np.arange(len(pixels))
    return [
        Score("", name, statistic(everything), *bootstrap(statistic, len(pixels), seed=seed))
        for name, statistic in statistics.items()
    ]


def _ratio(parts: ndarray, wholes: ndarray, rows: ndarray) -> float:
    return float(parts[rows].sum() / wholes[rows].sum())


def _median(histogram: ndarray, rows: ndarray) -> float:
    """The median of all angles in the pictures `rows`, with repetitions; within a bin angles are taken as uniform."""
    counts = np.bincount(rows, minlength=len(histogram)) @ histogram
    below = counts.cumsum()
    half = below[-1] / 2
    place = int(np.searchsorted(below, half))
    return float(BIN * (place + 1 - (below[place] - half) / counts[place]))


def _curve(histogram: ndarray) -> dict[str, list[float]]:
    below = np.concatenate([[0.0], histogram.sum(0).cumsum()])
    angle = np.arange(61.0)
    share = below[(angle / BIN).astype(np.int64)] / below[-1]
    return {"angle": angle.tolist(), "share": share.tolist()}


def _drawn(shown: list[tuple[ndarray, ndarray, ndarray]]) -> ndarray:
    """Each picture, below it the true normals, and below them the predicted ones.

    Red points to the right, green down and blue to the viewer; grey is unknown. shown: a picture (C, H, W) uint8 and
    two fields of vectors (3, H, W) each.
    """
    columns = []
    for picture, *vectors in shown:
        maps = [np.rint(127.5 * (one + 1)).astype(np.uint8) for one in vectors]
        cells = [coloured(each) for each in (picture, *maps)]
        columns.append(np.concatenate([np.pad(cell, ((1, 1), (1, 1), (0, 0))) for cell in cells]))
    times = max(1, ceil(SHOWN_SIDE / shown[0][0].shape[2]))
    return np.concatenate(columns, 1).repeat(times, 0).repeat(times, 1)
