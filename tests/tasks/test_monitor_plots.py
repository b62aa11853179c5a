"""The report's figure of what was measured while runs trained, and its word on a collapse."""

import json

import pytest

from tasks.reporting import monitor_plots, plots
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet
from tasks.reporting.verdict import verdict
from tests.tasks.study import LEVELS, make, parameters, written
from tests.tasks.test_report import text_of


def run(name, method, rows, source=None, **training):
    curve = [{"epoch": float(epoch), "loss": 1.0, **row} for epoch, row in enumerate(rows, start=1)]
    return Run(name, source, method, training=training, curve=curve)


def both(epoch):
    return {"probe_top1": 0.1 * epoch, "rankme": 9.0 + epoch, "deviation": 0.3}


RUNS = [
    run("rotation", "rotation", [both(1), {}, both(3)]),
    run("rotation_longer", "rotation", [both(1), both(2)]),
    run("random", "random", []),
    run("rotation_cf", "rotation", [{}, both(2)], source="rotation"),
]


def test_a_panel_a_measure_a_line_a_run_and_refits_apart():
    hue = plots.hues(RUNS)
    own, refits = monitor_plots.both(RUNS, hue, "world")
    for svg in (own, refits):
        assert all(title in svg for title in ("probe accuracy, %", "RankMe", "deviation"))
    assert ">rotation<" in own
    assert ">rotation_longer<" in own
    assert ">random<" not in own  # it has no curve
    assert ">rotation_cf<" not in own
    assert ">rotation_cf<" in refits


def test_what_no_run_has_gets_no_panel_and_runs_without_anything_no_figure():
    bare = [run("simclr", "simclr", [{"rankme": 9.0, "deviation": 0.3}])]
    svg = monitor_plots.monitored(bare, plots.hues(bare), "world")
    assert "RankMe" in svg
    assert "probe accuracy" not in svg
    assert monitor_plots.both([run("simclr", "simclr", [{}])], {"simclr": "#000000"}, "world") == ["", ""]


def test_trainings_too_short_to_be_measured_are_named_with_the_reason():
    short = [run(name, "simclr", [], unmonitored="it is short") for name in ("a", "b")]
    assert monitor_plots.unmonitored([*short, RUNS[0]]) == "Not measured while they trained, as it is short: a, b."
    assert monitor_plots.unmonitored(RUNS) == ""


def test_the_verdict_names_the_runs_that_have_collapsed():
    fallen = [run("simclr", "simclr", [], collapsed=3), run("moco", "moco", [], collapsed=5), RUNS[0]]
    assert verdict(DataSet("world", fallen))[-1] == "Collapsed while training: simclr (epoch 3), moco (epoch 5)."
    assert not any("ollapsed" in sentence for sentence in verdict(DataSet("world", RUNS)))


@pytest.mark.parametrize("probed", [True, False])
def test_the_page_says_what_is_measured_and_on_what(tmp_path, probed):
    content = parameters(list(LEVELS)[:3], ["world"])
    make(tmp_path, "world", content)
    trained = [
        path for path in tmp_path.glob("metrics/world/*/training.json") if json.loads(path.read_text())["trained"]
    ]
    for path in trained:
        probe = ",probe_top1" if probed else ""
        lines = [f"{epoch},{epoch},1.0,9.5,0.3" + (",0.25" if probed else "") for epoch in range(1, 5)]
        path.with_suffix(".csv").write_text("\n".join([f"epoch,step,loss,rankme,deviation{probe}", *lines]))
    text = text_of(written(tmp_path, content)[0])
    assert "on a fixed piece of the training samples" in text
    assert "where its deviation is below 0.05 and its RankMe below 5 % of the largest possible" in text
    assert "two measurements in a row must find this" in text
    assert ("supervised on these labels" in text) is probed
