"""What the stage `atlas` keeps for its next run: a change of scores alone computes nothing, and no byte is another."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tasks import atlas
from tasks.artifacts import map_parts
from tasks.project.project import Project
from tests.tasks.test_atlas_stage import images, make, run, write_features


def spied(monkeypatch) -> list[str]:
    """What is computed from here on: "layout" and "thumbnails"."""
    made, lay_out, plan = [], atlas.layout.lay_out, atlas.thumbnails.plan
    monkeypatch.setattr(atlas.layout, "lay_out", lambda *a, **k: made.append("layout") or lay_out(*a, **k))
    monkeypatch.setattr(atlas.thumbnails, "plan", lambda *a: made.append("thumbnails") or plan(*a))
    return made


def score(project: Project, name: str, value: float) -> None:
    content = {"layer": "pooled", "metric": "top1", "value": value, "low": value - 0.02, "high": value + 0.02}
    project.places.metric(name, "linear.json").write_text(json.dumps({"scores": [content]}))


def content(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in project.places.maps.iterdir()}


def test_after_a_change_of_scores_what_is_kept_is_taken_over_with_the_bytes_of_a_clean_build(tmp_path, monkeypatch):
    project, made = make(tmp_path / "a"), spied(monkeypatch)
    run(project)
    assert made == ["thumbnails", "layout"]
    score(project, "rotation", 0.8)  # another winner: its layout is new, the thumbnails are not
    run(project)
    score(project, "rotation", 0.3)  # the first again
    run(project)
    assert made == ["thumbnails", "layout", "layout"]
    clean = make(tmp_path / "b")
    score(clean, "rotation", 0.3)
    run(clean)
    assert content(project) == content(clean)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda project: write_features(project, "simclr", 9), ["layout"]),
        (lambda project: project.parameters["maps"].update(clusters=2), ["layout"]),
        (lambda project: project.parameters["machine"].update(threads=2), ["layout"]),
        (lambda project: project.parameters.update(seed=6), ["thumbnails", "layout"]),
        (lambda project: np.save(project.places.dataset / "train.images.npy", images(9, 60)), ["thumbnails", "layout"]),
        (lambda project: (project.root / "code.json").write_text('{"atlas": "1"}'), ["thumbnails", "layout"]),
        (lambda project: project.forget_work("atlas"), ["thumbnails", "layout"]),  # as --force does
        (lambda project: project.parameters["machine"].update(precision="float32"), []),
    ],
)
def test_what_shapes_a_map_makes_it_anew(tmp_path, monkeypatch, change, expected):
    project = make(tmp_path)
    project.parameters["machine"] = dict(project.parameters["machine"])
    run(project)
    made = spied(monkeypatch)
    change(project)
    run(project)
    assert made == expected


def test_a_kept_part_that_is_damaged_or_was_left_by_a_kill_is_made_anew(tmp_path, monkeypatch):
    project = make(tmp_path)
    run(project)
    before, parts = content(project), project.work("atlas", "parts")
    (table,) = parts.glob("*/run-simclr.parquet")
    table.write_bytes(table.read_bytes()[:-1])
    left = parts / ".abc.1"
    left.mkdir()
    made = spied(monkeypatch)
    run(project)
    assert made == ["layout"]
    assert content(project) == before
    assert not left.exists()


def test_only_so_many_parts_are_kept_and_those_in_use_always(tmp_path, monkeypatch):
    monkeypatch.setattr(map_parts, "KEPT", 2)
    project = make(tmp_path, runs="all")
    run(project)
    names = {path.name for path in project.work("atlas", "parts").iterdir()}
    assert len(names) == 4
    project.parameters["maps"]["runs"] = ["simclr"]
    run(project)
    left = {path.name for path in project.work("atlas", "parts").iterdir()}
    assert len(left) == 2
    assert left < names
