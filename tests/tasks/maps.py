"""A folder maps/<data> made by hand, as the stage `atlas` leaves it: for tests of the report's map."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from tasks.artifacts.tables import write_table

CLASSES = ("arch", "boat", "chair", "dog", "engine", "fish")
DUPLICATES_BELOW = 0.02


def make_map(
    root: Path,
    data: str,
    *,
    samples: int = 60,
    runs: tuple[str, ...] = ("rotation",),
    columns: dict[str, list[Any]] | None = None,
    pictures: np.ndarray | None = None,
    neighbours: int = 10,
    clusters: int = 6,
    quality: int = 70,
) -> Path:
    """Writes maps/<data>: blobs of points, their nearest in the plane, one blob a cluster.

    columns: those of samples.parquet beside split and row; default file, label, group and two factors. pictures:
    (N, H, W, 3) uint8 of the first N samples; default smooth random ones.
    """
    folder = root / "maps" / data
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    own = generator.integers(0, clusters, samples)
    own[: min(samples, clusters)] = np.arange(min(samples, clusters))
    train = samples - samples // 4
    split = ["train"] * train + ["test"] * (samples - train)
    rows = [*range(train), *range(samples - train)]
    columns = some_columns(own, generator) if columns is None else columns
    write_table(folder / "samples.parquet", {"split": split, "row": rows, **columns})
    for name in runs:
        write_table(folder / f"run-{name}.parquet", a_run(own, clusters, neighbours, generator))
    pictures = some_pictures(own, generator) if pictures is None else pictures
    tightness = [round(0.95 - 0.05 * cluster, 3) for cluster in range(clusters)]
    method = {"method": "t-SNE (scikit-learn)", "clusters": clusters, "tightness": tightness}
    known = {
        **{"runs": list(runs), "winner": runs[-1], "rule": "The run with the best top-1 of linear", "layer": "pooled"},
        **{"samples": samples, "neighbours": neighbours, "duplicates_below": DUPLICATES_BELOW},
        "thumbnails": write_sheets(folder, pictures, quality),
        "angles": [name for name in ("hue", "background_hue") if name in columns],
        "per_run": dict.fromkeys(runs, method),
    }
    (folder / "maps.json").write_text(json.dumps(known))
    return folder


def some_columns(own: np.ndarray, generator: np.random.Generator) -> dict[str, list[Any]]:
    """A file, a label, a group and two factors of each sample; the second one is an angle."""
    files = [f"{CLASSES[place % 6]}/day {place % 3}/{number:05}.jpg" for number, place in enumerate(own)]
    return {
        "file": files,
        "label": [CLASSES[place % 6] for place in own],
        "group": [f"scene {number // 5}" for number in range(len(own))],
        "size": generator.uniform(0.6, 0.95, len(own)).astype(np.float32).tolist(),
        "background_hue": generator.uniform(0, 360, len(own)).astype(np.float32).tolist(),
    }


def a_run(own: np.ndarray, clusters: int, neighbours: int, generator: np.random.Generator) -> dict[str, Any]:
    """The columns of <run>.parquet."""
    count = len(own)
    angles = generator.permutation(clusters) / clusters * 2 * math.pi
    centres = 8 * np.stack([np.cos(angles), np.sin(angles)], 1) * generator.uniform(0.4, 1, (clusters, 1))
    points = (centres[own] + generator.normal(0, 1, (count, 2))).astype(np.float32)
    near = min(neighbours, count - 1)
    distances, rows = cKDTree(points).query(points, near + 1)
    rows, distances = np.reshape(rows, (count, -1))[:, 1:], np.reshape(distances, (count, -1))[:, 1:] / 10
    duplicate = np.full(count, -1, np.int32)
    duplicate[: min(4, count)] = np.arange(min(4, count)) // 2
    return {
        "x": points[:, 0],
        "y": points[:, 1],
        "cluster": own.astype(np.int32),
        "distance": (np.linalg.norm(points - centres[own], axis=1) / 10).astype(np.float32),
        "neighbours": rows.astype(np.int32).tolist(),
        "neighbour_distances": distances.astype(np.float32).tolist(),
        "duplicate": duplicate,
        "outlier": np.linalg.norm(points - points.mean(0), axis=1).astype(np.float32),
    }


def some_pictures(own: np.ndarray, generator: np.random.Generator, side: int = 24) -> np.ndarray:
    """(N, side, side, 3) uint8, each smooth, alike within a cluster."""
    coarse = generator.integers(40, 215, (own.max() + 1, 3, 3, 3))[own] + generator.integers(
        -25, 25, (len(own), 3, 3, 3)
    )
    return np.kron(coarse.astype(np.uint8), np.ones((1, side // 3, side // 3, 1), np.uint8))


def write_sheets(folder: Path, pictures: np.ndarray, quality: int, columns: int = 40) -> dict[str, Any]:
    """Sheets of at most columns x columns pictures, and what maps.json tells of them."""
    count, height, width, _ = pictures.shape
    names = []
    for begin in range(0, count, columns * columns):
        part = pictures[begin : begin + columns * columns]
        lines = -(-len(part) // columns)
        canvas = np.zeros((lines * columns, height, width, 3), np.uint8)
        canvas[: len(part)] = part
        image = canvas.reshape(lines, columns, height, width, 3).swapaxes(1, 2).reshape(lines * height, -1, 3)
        names.append(f"sheet-{len(names):03}.webp")
        Image.fromarray(image).save(folder / names[-1], quality=quality)
    layout = {"side": max(width, height), "width": width, "height": height, "columns": columns, "rows": columns}
    return {**layout, "sheets": names, "count": count}
