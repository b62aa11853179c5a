"""The records of a small study, made by hand: what the report is written from."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks import report
from tasks.project.project import Project

LAYERS = ["conv1", "res2", "res3", "res4", "res5", "pooled"]
LEVELS = {
    "random": [38.0, 48.8, 46.3, 42.1, 37.1, 36.9],
    "supervised": [39.5, 52.7, 57.2, 60.5, 66.4, 66.2],
    "rotation": [38.9, 48.3, 50.4, 49.4, 40.5, 39.8],
    "jigsaw": [37.2, 47.0, 49.1, 47.2, 38.2, 38.0],
    "npid": [38.0, 47.7, 50.9, 52.3, 50.0, 49.6],
    "pirl": [38.2, 48.1, 52.4, 55.9, 57.0, 56.4],
    "simclr": [38.9, 48.9, 53.3, 57.2, 58.1, 57.9],
}
LIFT = {"rotation": 3.1, "jigsaw": 2.2, "npid": 0.9, "pirl": 0.4, "simclr": -0.5}


def parameters(runs: list[str], data: Any) -> dict[str, Any]:
    """Those of a small study: controls, five methods, a refit each and a refit of a refit."""
    refits = {f"{run}_cf": {"source": run, "clusters": 100} for run in runs if run in LIFT}
    if "rotation" in runs:
        refits["rotation_cf400"] = {"source": "rotation", "clusters": 400}
        refits["rotation_cf_cf"] = {"source": "rotation_cf", "clusters": 100}
    return {
        "seed": 7,
        "datasets": {"world": {"name": "world", "reader": "world", "source": "world.py", "size": 32}},
        "data": data,
        "machine": {"threads": 2, "precision": "bfloat16"},
        "encoder": {"name": "resnet", "width": 16},
        "training": {"epochs": 20, "batch": 256, "learning_rate": 0.1},
        "pretrain": {run: {"method": run, **({"temperature": 0.2} if run == "simclr" else {})} for run in runs},
        "clusterfit": refits,
        "transfer": {"linear": {"iterations": 100}, "knn": {"neighbours": 200}},
        "targets": {},
    }


def score(layer: str, metric: str, value: float, samples: int = 2000) -> dict[str, Any]:
    """A share given in per cent, as a protocol stores it, with its normal interval."""
    share = value / 100
    half = 1.96 * math.sqrt(share * (1 - share) / samples)
    return {"layer": layer, "metric": metric, "value": share, "low": share - half, "high": share + half}


def write_scores(folder: Path, levels: list[float], shift: float) -> None:
    linear = []
    for place, (layer, level) in enumerate(zip(LAYERS, levels, strict=True)):
        level += shift * (0.3, 0.6, 1.0, 1.2, 1.6, 1.6)[place]
        linear += [score(layer, "top1", level), score(layer, "top5", min(99.0, level + 35.3))]
    content = {"linear": linear, "knn": [score("pooled", "top1", levels[-1] - 8.3 + 1.4 * shift)]}
    for protocol, scores in content.items():
        (folder / f"{protocol}.json").write_text(json.dumps({"scores": scores, "seconds": 14.2}))


def write_training(folder: Path, run: str, trained: bool, place: int) -> None:
    chance = 4.605 if "_cf" in run else [1.386, 2.303, 4.605, 8.987, 6.237][place % 5]
    record = {"method": run, "epochs": 20, "seconds": 113.0 + 7 * place, "samples_per_second": 2011.0 - 40 * place}
    record |= {"steps": 640, "loss": 0.62 * chance, "chance": chance, "parameters": 702_000, "trained": trained}
    record |= {"device": "cpu", "precision": "bfloat16", "threads": 2, "samples_seen": 163_840}
    (folder / "training.json").write_text(json.dumps(record))
    lines = ["epoch,step,loss,chance,learning_rate,gradient_norm,samples_per_second,accuracy"]
    generator = np.random.default_rng(place)
    for epoch in range(1, 21 if trained else 1):
        loss = chance * (0.6 + 0.42 * math.exp(-epoch / 5)) + generator.normal(0, 0.008) * chance
        lines.append(f"{epoch},{32 * epoch},{loss:.5f},{chance},0.1,{1.5 + generator.normal(0, 0.2):.4f},2000,")
    (folder / "training.csv").write_text("\n".join(lines) + "\n")


def picture(path: Path, rows: int, columns: int, size: int = 32) -> None:
    """A grid of smooth random images."""
    generator = np.random.default_rng(rows)
    small = generator.integers(0, 255, (rows * 3, columns * 3, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize((columns * size, rows * size), Image.Resampling.BICUBIC).save(path)


def make(root: Path, data: str, content: dict[str, Any], labelled: bool = True, pictures: bool = True) -> None:
    """A metrics tree for every run in `content`."""
    metrics = root / "metrics" / data
    (metrics / "pictures").mkdir(parents=True)
    classes = ["arch", "boat", "chair", "dog", "engine", "fish"] if labelled else []
    record = {"classes": classes, "train": 8000, "test": 2000, "shape": [3, 32, 32], "labelled": labelled}
    (metrics / "prepare.json").write_text(json.dumps({**record, "skipped": ["a<b>.jpg"], "seconds": 4.2}))
    (metrics / "pictures/samples.json").write_text(
        json.dumps({"rows": classes, "sweeps": ["turn", "tilt", "size", "light"]})
    )
    if pictures:
        picture(metrics / "pictures/samples.png", max(1, len(classes)), 12)
        picture(metrics / "pictures/sweeps.png", 4, 12)
    for place, run in enumerate([*content["pretrain"], *content["clusterfit"]]):
        folder = metrics / run
        folder.mkdir()
        origin = run.split("_")[0]
        write_training(folder, run, origin != "random", place)
        if run in content["clusterfit"]:
            balance = {"clusters": 98, "asked": 100, "inertia": 0.4, "balance": 0.91, "smallest": 12, "median": 71}
            cluster = {**balance, "largest": 240, "empty": 2, "nmi": 0.312 if labelled else None, "seconds": 3.1}
            (folder / "cluster.json").write_text(json.dumps(cluster))
            if pictures:
                picture(folder / "clusters.png", 8, 10)
        write_scores(folder, LEVELS[origin], LIFT.get(origin, 0.0) * run.count("_cf"))
        if not labelled:
            for protocol in content["transfer"]:
                reason = {"not_applicable": f"{protocol}: {data} has no labels"}
                (folder / f"{protocol}.json").write_text(json.dumps(reason))


def written(root: Path, content: dict[str, Any]) -> tuple[str, list[dict[str, str]]]:
    """The page and the rows of scores.csv."""
    report.write(Project.given(root, content))
    with open(root / "results/scores.csv", newline="") as file:
        return (root / "results/report.html").read_text(), list(csv.DictReader(file))
