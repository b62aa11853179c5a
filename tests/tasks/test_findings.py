"""The report's protocol sections: pictures of the right runs, curves and maps of all, and a sentence on each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_models.protocols._common.statement import statement
from tasks.project.project import Project
from tasks.reporting import records, sections, tables
from tests.tasks.study import make, parameters, score, written

RUNS = ["random", "supervised", "rotation", "simclr"]
TARGETS = {"cells_detection": {"protocol": "detection", "data": {"name": "cells"}}}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A study with an invariance, and a target that left a picture and a curve for every run."""
    root = tmp_path_factory.mktemp("study")
    content = parameters(RUNS, ["world"])
    make(root, "world", content, pictures=False)
    content["transfer"]["invariance"] = {}
    content["targets"] = TARGETS
    for place, folder in enumerate(sorted(path.parent for path in root.glob("metrics/world/*/knn.json"))):
        probes = [
            {"layer": layer, "metric": metric, "value": 0.1 * place, "low": 0.05 * place, "high": 0.15 * place}
            for metric in ("invariance", "invariance_rotation", "invariance_class")
            for layer in ("res5", "pooled")
        ]
        (folder / "invariance.json").write_text(json.dumps({"scores": probes, "seconds": 3, "protocol": "invariance"}))
        found = {"scores": [score("", "ap", 10.0 + place)], "seconds": 30, "protocol": "detection"}
        found["data"] = {"train": 1200, "test": 300, "skipped": ["cell 7: a box without area", "cell 9: <no image>"]}
        found["data"]["left_out"] = [{"suffix": ".mov", "reason": "a <film>", "count": 1234, "example": "x/clip.mov"}]
        (folder / "cells_detection.json").write_text(json.dumps(found))
        own = folder / "cells_detection"
        own.mkdir()
        Image.fromarray(np.full((20, 30, 3), 10 * place, np.uint8)).save(own / "detections.png")
        curve = {"recall": [0.0, 0.5, 1.0], "precision": [1.0, 0.8, 0.1 * place]}
        (own / "curves.json").write_text(json.dumps({"red cell": curve}))
    return root, content


def test_pictures_are_those_of_the_best_its_refit_and_the_controls(study: tuple[Path, dict[str, object]]) -> None:
    root, content = study
    (data,) = records.collect(Project.given(root, content), content, {})
    names = [run.name for run in sections.chosen(data, "cells_detection")]
    own = [run for run in data.runs if run.role == "self-supervised"]
    best = max(own, key=lambda run: run.scores("cells_detection")[0].value)
    assert names[0] == best.name
    assert names[-2:] == ["random", "supervised"]
    shown = sections.pictures(Project(root), data)
    assert [run.name for _, run, _ in shown] == names
    assert all(path.name == "detections.png" for _, _, path in shown)


def test_pictures_of_all_pretrained_runs_are_shown_where_a_protocol_says_so(
    study: tuple[Path, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, content = study
    (data,) = records.collect(Project.given(root, content), content, {})
    assert statement("frame_neighbours").every
    assert not tables.stated(data, "cells_detection").every
    monkeypatch.setattr(tables, "stated", lambda *_: statement("frame_neighbours"))
    shown = [run.name for run in sections.chosen(data, "cells_detection")]
    assert shown == [run.name for run in data.runs if run.source is None]
    assert len(shown) > 3


def test_each_protocol_has_its_section_with_a_sentence(study: tuple[Path, dict[str, object]]) -> None:
    page, rows = written(*study)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "cells detection" in page
    assert "as COCO defines it" in text  # a target's section tells of its protocol
    assert "1: the representation does not notice the change" in text
    assert "1,200 training and 300 test samples. 2 entries that could not be read and were skipped" in text
    assert "cell 9: &lt;no image&gt;" in page
    assert "1,234 files left out suffix reason files such as .mov a &lt;film&gt; 1,234 x/clip.mov" in text
    assert page.count('alt="') >= 3
    assert 'id="world-cells_detection-curves' in page
    assert 'id="world-invariance-map' in page
    assert 'id="world-invariance-against' in page
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert {row["protocol"] for row in rows} == {"linear", "knn", "invariance", "cells_detection"}


def test_a_target_is_a_column_of_the_headline_and_a_probe_is_not(study: tuple[Path, dict[str, object]]) -> None:
    (data,) = records.collect(Project.given(*study), study[1], {})
    assert [measure.protocol for measure in tables.headline_measures(data)] == ["linear", "knn", "cells_detection"]


def test_a_protocol_that_left_nothing_has_no_section(tmp_path: Path) -> None:
    content = parameters(["random", "rotation"], ["world"])
    make(tmp_path, "world", content, pictures=False)
    (data,) = records.collect(Project.given(tmp_path, content), content, {})
    assert sections.sections(Project(tmp_path), data, {}, str) == []
    assert '<h3 id="data-1-protocols">' not in written(tmp_path, content)[0]


@pytest.fixture
def unlabelled(tmp_path: Path) -> tuple[Path, dict[str, object]]:
    """A study of data without labels: of every run what label_free found, and a note on one of them."""
    content = parameters(["random", "rotation", "simclr"], ["photos"])
    make(tmp_path, "photos", content, pictures=False)
    content["transfer"]["label_free"] = {}
    for place, path in enumerate(sorted(tmp_path.glob("metrics/photos/*/knn.json"))):
        for other in ("knn", "linear"):
            path.with_name(f"{other}.json").write_text(json.dumps({"protocol": other, "not_applicable": "no labels"}))
        found = [score("pooled", metric, value) for metric, value in (("rankme", 30.5 + place), ("lidar", 0.25))]
        record = {"protocol": "label_free", "scores": found, "seconds": 3}
        notes = {"notes": ["It has collapsed to a <point>."]} if path.parent.name == "simclr" else {}
        path.with_name("label_free.json").write_text(json.dumps(record | notes))
    return tmp_path, content


def test_without_labels_lidar_ranks(unlabelled: tuple[Path, dict[str, object]]) -> None:
    (data,) = records.collect(Project.given(*unlabelled), unlabelled[1], {})
    (shown,) = tables.headline_measures(data)
    assert (shown.protocol, shown.metric, shown.share) == ("label_free", "lidar", False)
    page, rows = written(*unlabelled)
    assert "label-free LiDAR" in page
    assert {row["metric"] for row in rows} == {"rankme", "lidar"}


def test_notes_stand_with_their_runs(unlabelled: tuple[Path, dict[str, object]]) -> None:
    page, _ = written(*unlabelled)
    (noted,) = re.findall(r'<li><span class="run[^"]*">.*?</span> (.*?)</li>', page)
    assert noted == "It has collapsed to a &lt;point&gt;."
    (data,) = records.collect(Project.given(*unlabelled), unlabelled[1], {})
    assert [(run.name, note) for run, note in sections.notes(data, "label_free")] == [
        ("simclr", "It has collapsed to a <point>.")
    ]
    assert sections.notes(data, "knn") == []
