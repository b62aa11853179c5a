"""The report: every number once, nothing fetched, honest words, and a clear page whatever is missing."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from tasks import report
from tasks.project.project import Project
from tasks.reporting import csv_files, page
from tasks.reporting.terminal import terminal_table
from tasks.stage.context import Context
from tests.tasks.study import LEVELS, make, parameters, written


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
    assert list(rows[0]) == list(csv_files.COLUMNS)
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
    cut = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
    first, second = (cut.sub("", written(tmp_path, content)[0]) for _ in range(2))
    assert first == second


def test_as_a_stage_it_names_its_results(tmp_path: Path) -> None:
    context = Context(
        Project.given(tmp_path, parameters(["random"], {"name": "world"})), "report", tmp_path, MagicMock()
    )
    result = report.report(context)
    assert [path.name for path in result.artifacts] == ["report.html", "scores.csv", "runs.csv"]
    assert all(path.is_file() for path in result.artifacts)


def test_what_every_training_was_and_cost_is_in_the_runs(full: tuple[Path, str, list[dict[str, str]]]) -> None:
    with open(full[0] / "results/runs.csv", newline="") as file:
        lines = {line["run"]: line for line in csv.DictReader(file)}
    content = parameters(list(LEVELS), ["world"])
    assert list(lines) == [*content["pretrain"], *content["clusterfit"]]
    told = lines["rotation_cf"]
    assert (told["data"], told["source"], told["seed"], told["samples_seen"]) == ("world", "rotation", "7", "163840")
    assert float(told["loss"]) < float(told["chance"])
    assert not {"seconds", "samples_per_second", "peak_memory"} & set(told)  # two runs of the same give the same file


def test_what_every_stage_cost_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    make(tmp_path, "world", content)
    path = Project.given(tmp_path, content).costs("transfer_clusterfit@rotation_cf-knn", "world")
    path.parent.mkdir(parents=True)
    path.write_text('{"key": "k", "seconds": 77.5}')
    page, _ = written(tmp_path, content)
    with open(tmp_path / "results/costs.csv", newline="") as file:
        lines = {(line["run"], line["stage"]): line for line in csv.DictReader(file)}
    assert lines["rotation_cf", "knn"]["seconds"] == "77.5"
    assert "1 min 18 s" in text_of(page)


def test_only_the_selected_runs_are_in_the_results(tmp_path: Path) -> None:
    content = parameters(["random", "rotation", "jigsaw"], ["world"])
    make(tmp_path, "world", content)
    selection = {
        "runs": "few",
        "sets": {"few": ["random", "jigsaw_cf"], "others": ["rotation_cf400", "rotation_cf_cf"]},
    }
    page, scores = written(tmp_path, content | selection)
    assert {line["run"] for line in scores} == {"random", "jigsaw", "jigsaw_cf"}
    assert "rotation" not in text_of(page)


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
    assert "holds no score" in terminal_table(Project(tmp_path))


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
        report.write(Project.given(tmp_path, content))
    path.write_text('{"scores": [{"layer": "res5", "value": 0.5}]}')
    with pytest.raises(ValueError, match=r"knn\.json: every score needs"):
        report.write(Project.given(tmp_path, content))
    path.write_text("[]")
    with pytest.raises(ValueError, match="must hold an object"):
        report.write(Project.given(tmp_path, content))
    path.write_text('{"scores": []}')
    (tmp_path / "metrics/world/pictures/samples.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"samples\.png is no picture"):
        report.write(Project.given(tmp_path, content))
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


def test_names_of_files_and_what_was_left_out_are_folded_away(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    make(tmp_path, "world", content)
    metrics = tmp_path / "metrics/world"
    rows = [[f"trip/{16 * row + place}.jpg" for place in range(16)] for row in range(20)]
    left_out = [{"suffix": "", "reason": "no <picture>", "count": 1, "example": "notes"}]
    for path, more in (
        (metrics / "pictures/samples.json", {"files": rows}),
        (metrics / "rotation_cf/cluster.json", {"files": [["a<b>.jpg", "c.jpg"]]}),
        (metrics / "prepare.json", {"left_out": left_out, "skipped": []}),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    page, _ = written(tmp_path, content)
    folded = "".join(re.findall(r"<details>.*?</details>", page, flags=re.DOTALL))
    lines = [f"<li>{', '.join(row)}</li>" for row in rows] + ["<li>a&lt;b&gt;.jpg, c.jpg</li>"]
    assert all(page.count(line) == folded.count(line) == 1 for line in lines)
    assert "1 file left out suffix reason files such as none no &lt;picture&gt; 1 notes" in text_of(folded)
    assert "No file was left out" not in page


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    make(tmp_path, "world", content)
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "metrics/world/pictures/samples.png")
    page, _ = written(tmp_path, content)
    assert len(page.encode()) < 3_000_000
    assert "data:image/webp" in page


def test_the_terminal_table_reads_the_scores_alone(full: tuple[Path, str, list[dict[str, str]]]) -> None:
    table = terminal_table(Project(full[0]))
    lines = table.splitlines()
    assert lines[0].startswith("world")
    assert table.count("*") == 2
    assert any(line.startswith("supervised") for line in lines[-2:])
    assert max(map(len, lines)) < 140


def test_a_terminal_table_of_many_protocols_has_a_word_for_each(tmp_path: Path) -> None:
    content = parameters(["random", "rotation"], ["world"])
    make(tmp_path, "world", content, pictures=False)
    metrics = {"retrieval": "map_at_r", "finetune": "top1", "voc_map": "map", "scenes_detection": "ap"}
    for protocol, metric in metrics.items():
        content["transfer"][protocol] = {}
        for run in (*content["pretrain"], *content["clusterfit"]):
            entry = {"layer": "", "metric": metric, "value": 0.5, "low": 0.4, "high": 0.6}
            (tmp_path / f"metrics/world/{run}/{protocol}.json").write_text(json.dumps({"scores": [entry]}))
    written(tmp_path, content)
    heads, _, first, *_ = terminal_table(Project(tmp_path)).splitlines()
    assert heads.split() == ["world", "linear", "k-NN", "retrieval", "fine-tuned", "VOC", "SVM", "scenes", "detection"]
    assert "res" not in first
    assert len(heads) < 100


def test_the_terminal_table_is_light_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, tasks.reporting.terminal as r; from tasks.project.project import Project;"
        "print(r.terminal_table(Project(pathlib.Path(sys.argv[1]))));"
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
