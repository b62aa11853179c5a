"""The figures: hues, and SVG that stands in a page by itself."""

from __future__ import annotations

from ssl_models.protocols._common import drawing
from tasks.reporting import plots
from tasks.reporting.runs import Run


def test_hues_are_one_a_method_and_grey_for_controls() -> None:
    runs = [Run("random", None, "random"), Run("a", None, "pirl"), Run("b", None, "pirl"), Run("c", None, "moco")]
    hue = plots.hues(runs)
    assert hue["random"] == plots.UNTRAINED
    assert hue["pirl"] == drawing.PALETTE[0]
    assert hue["moco"] == drawing.PALETTE[1]


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
