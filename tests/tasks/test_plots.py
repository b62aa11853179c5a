"""The figures: hues, and SVG that stands in a page by itself."""

from __future__ import annotations

import re

import pytest

from ssl_models import figures
from ssl_models.protocols._common.score import Score
from tasks.reporting import plots, tables
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet, Measure

RESNET, VIT = ("conv1", "res2", "pooled"), (*(f"block{number}" for number in range(1, 10)), "pooled")
LINEAR = Measure("linear", "top1", 100.0, True)


def scored(name: str, source: str | None, method: str, layers: tuple[str, ...]) -> Run:
    scores = [Score(layer, "top1", 0.5 + place / 100, 0.4, 0.7) for place, layer in enumerate(layers)]
    return Run(name, source, method, protocols={"linear": {"scores": scores}})


@pytest.fixture
def mixed() -> DataSet:
    """Runs of two encoders, among them refits into the other one, and one that goes on with weights."""
    runs = [
        scored("random", None, "random", RESNET),
        scored("simclr", None, "simclr", RESNET),
        scored("vit", None, "simclr", VIT),
        scored("vit_cf", "vit", "simclr", RESNET),
        scored("vit_on", "vit", "simclr", VIT),
    ]
    runs[-1].cluster["outputs"] = "weights"
    return DataSet("world", runs)


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_runs_of_other_layers_stand_in_a_panel_of_their_own(mixed: DataSet) -> None:
    hue = plots.hues(mixed.runs)
    found = [text for text in texts(plots.by_layer(mixed, LINEAR, hue, "a")) if not re.match(r"\d|linear", text)]
    # The panel's axis, then its title: nowhere the layers of both encoders, and `pooled` last.
    assert found == [*RESNET, "simclr", *VIT, "vit", *RESNET, "vit_cf"]
    assert tables.layers(mixed, LINEAR) == [*RESNET[:-1], *VIT]
    assert [run.name for run in plots._controls(mixed, LINEAR, VIT)] == []


def test_a_training_that_goes_on_is_no_bar_of_what_clusterfit_added(mixed: DataSet) -> None:
    found = texts(plots.added(mixed, [LINEAR], plots.hues(mixed.runs), "a"))
    assert "vit_cf" in found
    assert "vit_on" not in found


def test_hues_are_one_a_method_and_grey_for_controls() -> None:
    runs = [Run("random", None, "random"), Run("a", None, "pirl"), Run("b", None, "pirl"), Run("c", None, "moco")]
    hue = plots.hues(runs)
    assert hue["random"] == plots.UNTRAINED
    assert hue["pirl"] == figures.PALETTE[0]
    assert hue["moco"] == figures.PALETTE[1]


def test_an_svg_loses_its_addresses_and_its_ids_become_its_own() -> None:
    svg = '<?xml version="1.0"?>\n<svg width="9pt" height="9pt" viewBox="0 0 9 9" xmlns="http://x">'
    svg += "<metadata>http://y</metadata>"
    svg += '<defs><path id="m1"/></defs><use xlink:href="#m1" clip-path="url(#p)"/></svg>'
    drawn = plots.inline(svg, "a b")
    assert "http" not in drawn
    assert drawn.startswith('<svg role="img" viewBox')
    assert 'id="a-b-m1"' in drawn
    assert '<use href="#a-b-m1" clip-path="url(#a-b-p)"' in drawn


def test_a_series_goes_by_step_where_epochs_repeat_and_leaves_out_what_is_no_number() -> None:
    by_epoch = Run("a", None, "a", curve=[{"epoch": 1, "step": 5, "loss": 2.0}, {"epoch": 2, "step": 9}])
    assert plots.series(by_epoch, "loss") == ([1], [2.0])
    by_step = Run("a", None, "a", curve=[{"epoch": 1, "step": 5, "loss": 2.0}, {"epoch": 1, "step": 9, "loss": 1.0}])
    assert plots.series(by_step, "loss") == ([5, 9], [2.0, 1.0])
