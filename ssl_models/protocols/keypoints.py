"""Named points found by heat maps on the encoder's maps (Xiao et al. 2018, arXiv:1804.06208, "simple baselines").

Legend: N samples, B of a batch, P points, D numbers of a sample's maps, (H, W) a picture's size, (h, w) a heat map's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray
from torch import nn

from ssl_models.encoders.shapes import map_shapes
from ssl_models.errors import NeedsTruth, NoSuchLayer
from ssl_models.hardware import pick_device
from ssl_models.previews import coloured
from ssl_models.protocols._common.adaptation import blocks, outputs, train
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.named import named
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._keypoints.heat_maps import Head, Localisation, Maps, peaks
from ssl_models.rows import Samples
from ssl_models.trainer import Settings, derive_seed

NEEDS = ("encoder", "images", "points")
TITLE = "keypoints"
READING = (
    "Heat maps are read from the backbone's maps: the share of points found within a share of the object's extent."
)
HEADLINE = "pck_at_20"
UNITS = {"pck_*": "share"}
CURVES = "The share of points found within a distance, of the object's extent; N_cf dashed."
LATE = 2
"""So many of the last layers are read unless others are named."""
SHARES = (0.2, 0.05, 0.1, 0.5)
"""How far off a found point may be, as a share of the extent; the first is the headline (Yang & Ramanan 2013)."""
WIDEST = 0.5
"""Where the area under the curve ends, as a share of the extent."""
LARGEST_STORE = 2**30
"""Bytes. Maps of a frozen encoder that take more are computed at each step and not kept."""
SHOWN, COLUMNS, TILE = 8, 4, 268


def evaluate(
    representation: Representation,
    *,
    seed: int,
    frozen: bool = True,
    layers: list[str] | None = None,
    width: int = 64,
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 0.032,
) -> Findings:
    """PCK, the share of points found within a share of the extent: pck_at_20, _5, _10, _50, and the area below 0.5.

    A small head turns the maps of `layers` into one heat map for each point. It learns Gaussians around the training
    points by the squared error. The maximum, moved a quarter of a cell towards the higher neighbour, is the point
    found. All visible points of samples with a known extent count alike. Intervals are by bootstrap over test images.
    pck_mean_pose is the score of each point's mean training position at 0.2: that of a guess without the picture.
    Pictures are neither moved nor flipped; a flip would exchange left and right.

    frozen: the encoder is not trained and stays in evaluation mode, so that its maps are measured. With False it is
    trained too, as is common practice. layers: None for the last two. In earlier ones the head sees too small a part of
    the picture to tell one point from another. width: channels of the head. learning_rate: of AdamW, for a batch of
    256.
    Raises NeedsParts for samples that are no pictures, NeedsTruth for data without points that are seen, ValueError for
    settings or annotations out of range.
    """
    refuse(layers=layers, width=width, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    (points, _), (test_points, extent) = (_annotations(representation, split) for split in ("train", "test"))
    images, layers = representation.images("train"), _chosen(layers, representation.layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "keypoints"))
        maps = Maps(representation.encoder(), layers, frozen)
        shapes = map_shapes(maps.encoder, images.shape[1:])
        head = Head([shapes[layer] for layer in layers], points.shape[1], width, images.shape[2])
    settings = _training(epochs, batch_size, learning_rate)
    network = _trained(maps, head, images, points, settings, seed, representation.precision)
    heat = blocks(network, representation.images("test"), precision=representation.precision)
    found = torch.cat([peaks(maps, images.shape[2:]) for _, maps in heat]).numpy()
    errors = relative_errors(found, test_points, extent)
    blind = relative_errors(_mean_pose(points, images.shape[2:])[None], test_points, extent)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(SHOWN, len(found))).round().astype(int))
    pictures = {"found": _picture(representation.images("test"), chosen, test_points, found)}
    curves = {"pck": _curve(errors, blind, representation.point_names)}
    return Findings(_scores(errors, blind, seed), pictures, curves, named(representation, "found", chosen))


def refuse(
    *,
    frozen: bool = True,  # noqa: ARG001 - either will do
    layers: list[str] | None = None,
    width: int = 64,
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 0.032,
    there: tuple[str, ...] = (),
) -> None:
    """Raises ValueError for settings that `evaluate` cannot work with, NoSuchLayer for layers that are not `there`."""
    if layers is not None and (not isinstance(layers, list | tuple) or not layers or len(set(layers)) < len(layers)):
        raise ValueError(f"layers = {layers!r} must be a list of at least one layer, each once, or None for the last")
    if width < 1:
        raise ValueError(f"width = {width} must be at least 1")
    _training(epochs, batch_size, learning_rate)
    if there:
        _chosen(layers, there)


def _chosen(layers: list[str] | None, there: Sequence[str]) -> list[str]:
    """The layers whose maps are read; the last of those that are `there` is the encoder's own output, and no map."""
    maps = list(there[:-1])
    if unknown := [layer for layer in layers or () if layer not in maps]:
        raise NoSuchLayer(f"layers = {layers} has {unknown[0]!r}; choose from {', '.join(maps)}")
    return maps[-LATE:] if layers is None else layers


def _training(epochs: int, batch_size: int, learning_rate: float) -> Settings:
    return Settings(epochs, batch_size, "adamw", learning_rate, weight_decay=0.01)


def relative_errors(found: ndarray, points: ndarray, extent: ndarray) -> ndarray:
    """(N, P): distances as shares of the extent; NaN for a point that is not scored."""
    distances = np.hypot(*np.moveaxis(found - points[..., :2].astype(np.float64), 2, 0))
    scored = (points[..., 2] > 0) & (extent[:, None] > 0)
    return np.where(scored, distances / np.where(extent > 0, extent, 1)[:, None], np.nan)


def _trained(
    maps: Maps, head: Head, images: Samples, points: ndarray, settings: Settings, seed: int, precision: str
) -> nn.Module:
    """The trained network, pictures -> heat maps, in evaluation mode. An encoder that is not frozen is trained too."""
    data = images
    numbers = sum(channels * rows * columns for channels, rows, columns in head.shapes)
    kept = maps.frozen and 2 * numbers * len(images) <= LARGEST_STORE
    if kept:  # `views` draws nothing, so a frozen encoder gives the same maps in every epoch
        read_by = maps.to(pick_device()).eval()
        data = outputs(read_by, images, precision=precision, kept=torch.float16).numpy()
    read = nn.Identity() if kept else maps
    method = Localisation(maps.encoder, read, head, torch.from_numpy(points), images.shape[2:])
    train(method, [data], settings, seed=seed, precision=precision)
    return nn.Sequential(maps, head).to(pick_device()).eval()


def _annotations(representation: Representation, split: str) -> tuple[ndarray, ndarray]:
    """Checked points (N, P, 3) float32, 0 where not visible, and extents (N,)."""
    points = np.array(representation.truth(split, "points"), np.float32)
    extent = np.array(representation.truth(split, "extent"), np.float64)
    if points.ndim != 3 or points.shape[2] != 3 or extent.shape != points.shape[:1]:
        raise ValueError(
            f"the {split} points of shape {points.shape} and extent {extent.shape} are not (N, P, 3), (N,)"
        )
    points[~(points[..., 2] > 0)] = 0
    finite = bool(np.isfinite(points).all())
    if not finite or not ((points[..., 2] > 0) & (extent > 0)[:, None]).any():
        raise (NeedsTruth if finite else ValueError)(
            f"the {split} points must be finite, and one of them seen where the extent is above 0"
        )
    return points, extent


def _mean_pose(points: ndarray, size: Sequence[int]) -> ndarray:
    """(P, 2): the mean position of each point where it is visible; the middle of the picture where it never is."""
    seen = points[..., 2:] > 0  # (N, P, 1)
    total, count = (points[..., :2] * seen).sum(0, dtype=np.float64), seen.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), (size[1] / 2, size[0] / 2))


def _scores(errors: ndarray, blind: ndarray, seed: int) -> list[Score]:
    credits = {f"pck_at_{round(100 * share)}": (errors <= share).astype(np.float64) for share in SHARES}
    # Whether a point is found, averaged over thresholds from 0 to WIDEST, is a linear function of its error.
    credits["pck_auc"] = np.clip(1 - errors / WIDEST, 0, 1)
    credits["pck_mean_pose"] = (blind <= SHARES[0]).astype(np.float64)
    scored = np.isfinite(errors)
    counts = scored.sum(1)
    scores = []
    for metric, credit in credits.items():
        sums = np.where(scored, credit, 0).sum(1)

        def share(rows: ndarray, sums: ndarray = sums) -> float:
            total = counts[rows].sum()
            return float(sums[rows].sum() / total) if total else float("nan")

        scores.append(Score("", metric, share(np.arange(len(sums))), *bootstrap(share, len(sums), seed=seed)))
    return scores


def _curve(errors: ndarray, blind: ndarray, names: Sequence[str]) -> dict[str, list[float]]:
    """PCK against the threshold: of all points, of their mean positions, and of each point that is scored."""
    thresholds = np.linspace(0, WIDEST, 26)
    columns = {"all": errors, "mean pose": blind}
    names = names or [f"point {number}" for number in range(1, errors.shape[1] + 1)]
    columns |= {name: errors[:, [number]] for number, name in enumerate(names)}
    known = {name: column[np.isfinite(column)] for name, column in columns.items()}
    shares = {name: [float((one <= edge).mean()) for edge in thresholds] for name, one in known.items() if len(one)}
    return {"threshold": thresholds.tolist(), **shares}


def _picture(images: Samples, chosen: ndarray, points: ndarray, found: ndarray) -> ndarray:
    """The pictures `chosen`, enlarged: a ring around the true point, a dot where it was found; a colour a point."""
    from PIL import Image, ImageColor, ImageDraw

    height, width = images.shape[2:]
    scale = max(1, TILE // width)
    sheet = Image.new("RGB", (scale * width * min(COLUMNS, len(chosen)), scale * height * -(-len(chosen) // COLUMNS)))
    for place, row in enumerate(chosen):
        tile = Image.fromarray(coloured(images[row], scale))
        pen = ImageDraw.Draw(tile)
        for number, (point, guess) in enumerate(zip(points[row], found[row], strict=True)):
            colour = ImageColor.getrgb(f"hsv({360 * number // points.shape[1]}, 90%, 100%)")
            if point[2] > 0:
                pen.circle(tuple(scale * point[:2]), 8, outline="black", width=4)
                pen.circle(tuple(scale * point[:2]), 7, outline=colour, width=2)
                pen.circle(tuple(scale * guess), 4, fill=colour, outline="black")
        sheet.paste(tile, (place % COLUMNS * scale * width, place // COLUMNS * scale * height))
    return np.asarray(sheet)
