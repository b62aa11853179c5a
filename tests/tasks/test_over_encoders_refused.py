"""What a study's file may not say of measures of many runs, and of rules over encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.settings.schema import ParameterError
from tests.tasks.test_over_encoders import QUICK, RULE, load, with_measure, with_rule
from tests.tasks.test_studies import root  # noqa: F401 - a fixture

REFUSED: list[tuple[dict[str, Any], str]] = [
    (with_measure(runs="everything"), r"measures\.x\.runs is 'everything'; it must be a list of runs, or 'all'"),
    (with_measure(runs=["all", "rotation"]), r"measures\.x\.runs: 'all' stands alone"),
    (with_measure(runs="all", run="rotation"), r"measures\.x: give either 'run' or 'runs'"),
    (with_measure(runs="all", without=["ramdom"]), r"measures\.x\.without: unknown run 'ramdom'.*'random'\?"),
    (with_measure(runs=["random"], without=["random"]), r"measures\.x\.without leaves no run"),
    (with_measure(runs=["random", "random"]), r"measures\.x\.runs has a run twice"),
    (with_measure(runs=["rotatoin"]), r"unknown run 'rotatoin'.*'rotation'\?"),
    (with_measure(runs="all", better="fewer"), r"measures\.x\.better is 'fewer'; it must be 'more' or 'less'"),
    (with_measure(runs="all", better="less"), r"measures\.x: name the layer"),
    (with_measure(runs="all", near=1), r"measures\.x: name the layer"),
    (with_measure(runs="all", near=1, better="less", layer="pooled"), r"measures\.x: give either 'better' or 'near'"),
    (with_measure(runs="all", near="one", layer="pooled"), r"measures\.x\.near: 'one' is not of type float"),
    (with_measure(runs="all"), r"measures\.x is of several runs or layers; say which data by 'at'"),
    ({"shown": ["score"]}, r"measures\.score is of several runs or layers; say which data by 'at'"),
    (with_rule(over="seeds"), r"rule 1\.over is 'seeds'; it must be 'encoders'"),
    (with_rule(above=None), r"rule 1: 'above' is missing"),
    (with_rule(correlation=[]), r"rule 1\.correlation is empty"),
    (with_rule(correlation=3), r"rule 1\.correlation: 3 is not of type"),
    (with_rule(correlation="scores"), r"rule 1: unknown measure 'scores'.*'score'\?"),
    (with_rule(correlation="score@sea"), r"rule 1: 'score@sea': the quick grid has no data sea"),
    (with_rule(without=["rotation_fc"]), r"rule 1\.without: unknown run 'rotation_fc'.*'rotation_cf'\?"),
    (with_rule(without=["rotation", "random", "supervised"]), "3 encoders; a rule over encoders needs at least 4"),
    (
        {**with_measure(run="rotation"), **with_rule(correlation="x")},
        r"rule 1: x@world with accuracy@world: they are of different runs; only one has random, random_cf,",
    ),
    (
        {**with_measure(run="rotation", layers=["res4", "res5"]), **with_rule(correlation="x")},
        "'x@world' is of several layers; over encoders it must be of several runs",
    ),
    ({"beside": [RULE]}, r"beside 1: unknown setting 'above'"),
    ({"beside": ["score"]}, r"beside 1 must be a mapping such as"),
    ({"quick": {**QUICK, "base": {**QUICK["base"], "data.train": 64}}}, r"quick: grid\.data puts a whole data set"),
    ({"quick": {**QUICK, "base": 3}}, r"quick\.base: 3 is not of type dict"),
    ({"quick": {**QUICK, "targets": ["rotation-knn"]}}, r"measures\.accuracy: unknown target 'random-knn'"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_cannot_be_judged_is_refused_before_anything_runs(
    root: Path,  # noqa: F811
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ParameterError, match=message):
        load(root, **changes)
