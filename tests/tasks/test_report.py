"""The report: every number once, nothing fetched, honest words, and a clear page whatever is missing."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from tasks import page, report
from tasks.stage import Context

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
    record = {"method": run, "epochs": 20, "seconds": 113.0 + 7 * place, "images_per_second": 2011.0 - 40 * place}
    record |= {"steps": 640, "loss": 0.62 * chance, "chance": chance, "parameters": 702_000, "trained": trained}
    record |= {"device": "cpu", "precision": "bfloat16", "threads": 2, "samples_seen": 163_840}
    (folder / "training.json").write_text(json.dumps(record))
    lines = ["epoch,step,loss,chance,learning_rate,gradient_norm,images_per_second,accuracy"]
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
    report.write(root, content)
    with open(root / "results/scores.csv", newline="") as file:
        return (root / "results/report.html").read_text(), list(csv.DictReader(file))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[dict[str, str]]]:
    """A full study of one data set, its page and its scores."""
    root = tmp_path_factory.mktemp("full")
    content = parameters(list(LEVELS), ["world"])
    make(root, "world", content)
    return (root, *written(root, content))


def text_of(page: str) -> str:
    """A page's words without tags and style."""
    bare = re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


def test_every_number_is_in_the_scores_once(full: tuple[Path, str, list[dict[str, str]]]) -> None:
    root, _, rows = full
    stored = {
        (path.parent.name, path.stem, entry["layer"], entry["metric"]): entry
        for name in ("linear", "knn")
        for path in root.glob(f"metrics/world/*/{name}.json")
        for entry in json.loads(path.read_text())["scores"]
    }
    keys = [(row["run"], row["protocol"], row["layer"], row["metric"]) for row in rows]
    assert len(keys) == len(set(keys)) == len(stored)
    for key, row in zip(keys, rows, strict=True):
        assert [float(row[side]) for side in ("value", "low", "high")] == [
            stored[key][side] for side in ("value", "low", "high")
        ]
    assert list(rows[0]) == list(report.COLUMNS)
    assert {row["source"] for row in rows if row["run"] == "rotation_cf"} == {"rotation"}
    assert {row["seed"] for row in rows} == {"7"}


def test_every_number_is_on_the_page(full: tuple[Path, str, list[dict[str, str]]]) -> None:
    _, page, rows = full
    text = text_of(page)
    for row in rows:
        assert f"{100 * float(row['value']):.1f}" in text


def test_the_page_fetches_nothing_and_is_small(full: tuple[Path, str, list[dict[str, str]]]) -> None:
    _, page, _ = full
    assert len(page.encode()) < 3_000_000
    assert not re.search(r"https?:|<script|<link|@import|url\((?!#)", page)
    assert all(address.startswith(("data:", "#")) for address in re.findall(r'(?:src|href)="([^"]*)"', page))
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_the_best_is_bold_and_controls_are_not(full: tuple[Path, str, list[dict[str, str]]]) -> None:
    _, page, rows = full
    bold = re.findall(r'class="score best"><b>([\d.]+)</b>', page)
    expected = []
    for protocol in ("linear", "knn"):
        ours = [r for r in rows if r["protocol"] == protocol and r["metric"] == "top1"]
        ours = [r for r in ours if not r["run"].startswith(("random", "supervised"))]
        expected.append(f"{100 * max(float(r['value']) for r in ours):.1f}")
    assert bold == expected
    controls = page[page.index('<tbody class="controls">') : page.index("</table>")]
    assert "supervised" in controls
    assert "best" not in controls


def test_only_the_time_differs_between_two_pages(tmp_path: Path) -> None:
    content = parameters(["random", "jigsaw"], ["world"])
    make(tmp_path, "world", content)
    cut = re.compile(r"made at [\d: -]+UTC")
    first, second = (cut.sub("", written(tmp_path, content)[0]) for _ in range(2))
    assert first == second


def test_as_a_stage_it_names_both_results(tmp_path: Path) -> None:
    context = Context(tmp_path, "report", parameters(["random"], {"name": "world"}), tmp_path, MagicMock())
    result = report.report(context)
    assert [path.name for path in result.artifacts] == ["report.html", "scores.csv"]
    assert all(path.is_file() for path in result.artifacts)


def test_without_labels_the_page_says_why_and_still_shows_the_rest(tmp_path: Path) -> None:
    content = parameters(["rotation"], {"name": "photos", "reader": "folder"})
    make(tmp_path, "photos", content, labelled=False)
    (tmp_path / "metrics/photos/rotation/training.json").write_text('{"not_applicable": "no labels to learn"}')
    (tmp_path / "metrics/photos/rotation_cf400/clusters.png").write_text("")
    page, rows = written(tmp_path, content)
    assert rows == []
    text = text_of(page)
    assert "No scores: photos has no labels" in text
    assert "no representation could be scored: photos has no labels." in text
    assert "Clusters of rotation" in text
    assert "not applicable: no labels to learn" in text
    assert page.count("<svg") >= 3
    assert "holds no score" in report.terminal_table(tmp_path)


def test_two_data_sets_have_a_section_each(tmp_path: Path) -> None:
    content = parameters(["random", "rotation"], ["world", "photos"])
    make(tmp_path, "world", content, pictures=False)
    make(tmp_path, "photos", content, labelled=False, pictures=False)
    page, rows = written(tmp_path, content)
    assert {row["data"] for row in rows} == {"world"}
    assert page.index("<h2>world</h2>") < page.index("<h2>photos</h2>")
    assert "There is no contact sheet" in page


def test_an_empty_tree_lists_what_is_missing(tmp_path: Path) -> None:
    content = parameters(["rotation"], "world")
    page, rows = written(tmp_path, content)
    assert rows == []
    assert "metrics/world/rotation/training.json" in page
    assert "not found" in page


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    make(tmp_path, "world", content, pictures=False)
    path = tmp_path / "metrics/world/rotation/knn.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"knn\.json is not valid JSON"):
        report.write(tmp_path, content)
    path.write_text('{"scores": [{"layer": "res5", "value": 0.5}]}')
    with pytest.raises(ValueError, match=r"knn\.json: every score needs"):
        report.write(tmp_path, content)
    path.write_text("[]")
    with pytest.raises(ValueError, match="must hold an object"):
        report.write(tmp_path, content)
    path.write_text('{"scores": []}')
    (tmp_path / "metrics/world/pictures/samples.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"samples\.png is no picture"):
        report.write(tmp_path, content)
    assert not (tmp_path / "results").exists()


def test_an_unknown_limit_stays_empty(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    make(tmp_path, "world", content, pictures=False)
    entry = {"layer": "", "metric": "top1", "value": 0.5, "low": None, "high": None}
    (tmp_path / "metrics/world/rotation/knn.json").write_text(json.dumps({"scores": [entry]}))
    page, rows = written(tmp_path, content)
    row = next(row for row in rows if row["run"] == "rotation" and row["protocol"] == "knn")
    assert (row["value"], row["low"], row["high"]) == ("0.5", "", "")
    assert "nan" not in text_of(page).lower()


def test_names_are_escaped(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    content["pretrain"]["<b>x</b>"] = {"method": "rotation"}
    make(tmp_path, "world", parameters(["rotation"], ["world"]))
    page, _ = written(tmp_path, content)
    assert "<b>x" not in page
    assert "&lt;b&gt;x" in page
    assert "a&lt;b&gt;.jpg" in page


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    make(tmp_path, "world", content)
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "metrics/world/pictures/samples.png")
    page, _ = written(tmp_path, content)
    assert len(page.encode()) < 3_000_000
    assert "data:image/webp" in page


def test_the_terminal_table_reads_the_scores_alone(full: tuple[Path, str, list[dict[str, str]]]) -> None:
    table = report.terminal_table(full[0])
    lines = table.splitlines()
    assert lines[0].startswith("world")
    assert table.count("*") == 2
    assert any(line.startswith("supervised") for line in lines[-2:])
    assert max(map(len, lines)) < 140


def test_the_terminal_table_is_light_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, tasks.report as r; print(r.terminal_table(pathlib.Path(sys.argv[1])));"
        "print(sorted({'torch', 'matplotlib', 'jinja2', 'PIL', 'mlflow'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "There is no results/scores.csv yet" in told
    assert told.strip().endswith("[]")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (4.24, "4.2 s"), (125, "2 min 05 s"), (7620, "2 h 07 min"), (3599.7, "1 h 00 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert page.duration(seconds) == text
