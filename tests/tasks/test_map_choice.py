"""Which runs the stage `atlas` maps, which one it says ranks first, and why others have no map."""

from __future__ import annotations

import json

import pytest

from tasks import atlas
from tasks.artifacts.tables import read_table
from tasks.stage.context import Context, NotApplicable
from tests.tasks.test_atlas_stage import RUNS, SCORES, make, run


@pytest.mark.parametrize(("runs", "expected"), [("all", list(RUNS)), (["simclr", "random"], ["random", "simclr"])])
def test_runs_that_are_asked_for_have_maps_in_the_order_of_the_parameters(tmp_path, runs, expected):
    facts, tables = run(make(tmp_path, runs=runs))
    assert facts["runs"] == list(facts["per_run"]) == expected
    assert set(tables) == {"samples", *expected}
    assert facts["winner"] == "simclr"


def test_without_scores_the_first_self_supervised_run_is_mapped(tmp_path):
    facts, tables = run(make(tmp_path, labelled=False, scored=False))
    assert (facts["runs"], facts["winner"]) == (["rotation"], None)
    assert facts["rule"].startswith("No run has a score")
    assert list(tables["samples"]) == ["split", "row"]


def test_a_run_without_features_is_left_out_with_its_reason(tmp_path):
    project = make(tmp_path, runs="all")
    folder = project.places.features("rotation")
    for path in folder.iterdir():
        path.unlink()
    (folder / "NOT_APPLICABLE").write_text("the method reads sound\n")
    facts, _ = run(project)
    assert facts["runs"] == ["random", "simclr"]
    assert facts["left_out"] == {"rotation": "the method reads sound"}
    for name in ("random", "simclr"):
        (project.places.features(name) / "NOT_APPLICABLE").write_text("nor does this\n")
    with pytest.raises(NotApplicable, match=r"to be mapped: nor does this; the method reads sound"):
        run(project)


def test_maps_of_runs_that_are_no_longer_asked_for_are_gone(tmp_path):
    project = make(tmp_path, runs=["random", "rotation"])
    run(project)
    project.parameters["maps"]["runs"] = ["simclr"]
    _, tables = run(project)
    assert set(tables) == {"samples", "simclr"}


def test_where_no_run_passes_the_untrained_floor_the_first_is_mapped_and_the_rule_says_so(tmp_path):
    facts, tables = run(make(tmp_path, floor=0.9))
    assert (facts["runs"], facts["winner"]) == (["simclr"], None)
    assert facts["rule"] == (
        "simclr ranks first by linear top-1, at the layer pooled, though no run passes the untrained floor."
    )
    assert set(tables) == {"samples", "simclr"}


def test_a_run_named_samples_leaves_the_table_of_the_samples_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setitem(RUNS, "samples", {"method": "simclr"})
    monkeypatch.setitem(SCORES, "samples", 0.8)
    project = make(tmp_path)
    atlas.atlas(Context(project, "atlas", project.root, None))  # type: ignore[arg-type]
    folder = project.places.maps
    assert json.loads((folder / "maps.json").read_text())["winner"] == "samples"
    assert "split" in read_table(folder / "samples.parquet")
    assert "cluster" in read_table(folder / "run-samples.parquet")


def test_runs_that_are_listed_but_not_selected_are_left_out_with_a_note(tmp_path):
    project = make(tmp_path, runs=["moco", "simclr", "rotation"])
    project.parameters["pretrain"] = RUNS | {"moco": {"method": "moco"}}
    project.parameters.update({"runs": "few", "sets": {"few": ["random", "simclr"], "other": ["moco", "rotation"]}})
    facts, _ = run(project)
    assert facts["runs"] == ["simclr"]
    assert facts["left_out"] == {name: f"{name} is not among the selected runs" for name in ("moco", "rotation")}
    project.parameters["maps"]["runs"] = ["moco"]
    with pytest.raises(NotApplicable, match="moco is not among the selected runs"):
        run(project)


def test_where_the_first_has_no_features_the_next_is_mapped_and_the_rule_says_so(tmp_path):
    project = make(tmp_path)
    folder = project.places.features("simclr")
    (folder / "NOT_APPLICABLE").write_text("it reads sound\n")
    facts, _ = run(project)
    assert (facts["runs"], facts["winner"]) == (["rotation"], None)
    assert facts["rule"] == "rotation ranks first of those with features by linear top-1, at the layer pooled."
    assert facts["left_out"] == {"simclr": "it reads sound"}
