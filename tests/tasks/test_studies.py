"""Studies: terms, rules and verdicts on numbers worked by hand, and what a file may not say."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.studies import checks, judging
from tasks.studies import study as studies
from tasks.studies.measures import Named
from tasks.studies.study import Study
from tasks.sweeps import results
from tasks.sweeps.settings import Measure, Sweep
from tests.tasks.conftest import ROOT, SMALL

QUICK: dict[str, Any] = {
    "grid": {"clusterfit.rotation_cf.clusters": [4, 8]},
    "seeds": [0, 1],
    "targets": ["rotation", "rotation-knn", "rotation_cf-knn"],
}
CONTENT: dict[str, Any] = {
    "title": "A title",
    "claim": "A claim.",
    "source": "A paper, table 1",
    "published": {"measure": "top-1", "numbers": {"rotation": 40.0, "rotation_cf": 45.0}},
    "measures": {
        "pretrained": {"run": "rotation", "protocol": "knn", "at": {"clusters": 4}},
        "refitted": {"run": "rotation_cf", "protocol": "knn", "layer": "res5"},
        "both": {"runs": ["rotation", "rotation_cf"], "protocol": "knn", "at": {"clusters": 8}},
        "loss": {"run": "rotation", "protocol": "training", "metric": "loss", "at": {"clusters": 4}},
    },
    "axis": "clusters",
    "rules": [{"greater": "refitted@8", "than": "pretrained + 0.01"}],
    "quick": QUICK,
    "full": QUICK,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one refit, whose code is this tree's."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("ssl_models", "tasks"):
        (folder / name).symlink_to(ROOT / name)
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text()) | SMALL
    parameters["data"] = SMALL["datasets"]["world"]
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))
    (folder / "studies").mkdir()
    return folder


def load(root: Path, setting: str = "quick", **changes: Any) -> Study:
    """The study of CONTENT with changes: `measures__x` is measures.x; None takes a key away."""
    content = deepcopy(CONTENT)
    for name, value in changes.items():
        *folders, last = name.split("__")
        block = content
        for folder in folders:
            block = block[folder]
        block[last] = deepcopy(value)
        if value is None:
            del block[last]
    (root / "studies" / "trial.yaml").write_text(yaml.safe_dump(content))
    return studies.load(Project(root), "trial", setting)


def record(seed: int, values: dict[tuple[str, str], float], **settings: Any) -> dict[str, Any]:
    """A point's record; values: of (run, layer), by k-NN."""
    scores = [
        {"run": run, "protocol": "knn", "layer": layer, "metric": "top1", "value": value, "low": value, "high": value}
        for (run, layer), value in values.items()
    ]
    settings = {f"clusterfit.rotation_cf.{name}": value for name, value in settings.items()}
    return {"name": "p", "settings": settings, "seed": seed, "seconds": 1.5, "scores": scores}


def study(measures: dict[str, Named], rules: list[dict[str, Any]], seeds: int, **more: Any) -> Study:
    """A study as `load` gives it, over clusters 4 and 8 where it has an axis."""
    grid = {"clusterfit.rotation_cf.clusters": [4, 8]} if more.get("axis") else {}
    content = {**CONTENT, "axis": "", "rules": rules, **more}
    return Study("trial", "quick", content, Sweep("trial", {}, grid, tuple(range(seeds)), ()), measures)


@pytest.mark.parametrize(
    ("side", "found"),
    [
        ("a", [(1, "a")]),
        ("a@0.5 - b + 0.01", [(1, "a@0.5"), (-1, "b"), (1, 0.01)]),
        ("-a+b_c@res5", [(-1, "a"), (1, "b_c@res5")]),
        ("  a  -0.5 ", [(1, "a"), (-1, 0.5)]),
        (0.25, [(1, 0.25)]),
        (3, [(1, 3.0)]),
        (0.00001, [(1, 1e-05)]),
        ("a@-1 - 1e-3", [(1, "a@-1"), (-1, 0.001)]),
    ],
)
def test_a_side_is_a_sum_of_measures_and_numbers(side: str | float, found: list[tuple[int, str | float]]) -> None:
    assert list(checks.terms(side)) == found


@pytest.mark.parametrize("side", ["a b", "a * 2", "a +", "a + + b", "(a)", "a, b", "a > b"])
def test_what_is_no_sum_is_refused(side: str) -> None:
    with pytest.raises(ParameterError, match=r"must be measures and numbers with \+ and - between them"):
        list(checks.terms(side))


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["holds"], studies.REPRODUCED),
        (["holds", "holds"], studies.REPRODUCED),
        (["holds", "open"], studies.UNDECIDED),
        (["open"], studies.UNDECIDED),
        (["holds", "fails"], studies.NOT_REPRODUCED),
        (["open", "fails", "holds"], studies.NOT_REPRODUCED),
    ],
)
def test_a_verdict_is_of_all_rules(outcomes: list[str], expected: str) -> None:
    assert studies.verdict(outcomes) == expected


def test_students_t_by_hand() -> None:
    """Of 1, 2, 3 the mean is 2, the deviation 1, and t of two degrees of freedom 4.3027."""
    mean = results.mean([1.0, 2.0, 3.0])
    assert mean.value == 2
    assert mean.high - mean.value == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
    assert mean.low + mean.high == pytest.approx(4)


def test_a_rule_is_judged_by_the_paired_difference() -> None:
    """Seeds move both sides by 0.1, their difference by 0.01: unpaired nothing would be told apart."""
    one = {"a": Named((Measure("a", "knn"),)), "b": Named((Measure("b", "knn"),))}
    records = [
        record(seed, {("a", ""): 0.3 + 0.1 * seed, ("b", ""): 0.3 + 0.1 * seed + gain})
        for seed, gain in enumerate((0.04, 0.05, 0.06))
    ]
    rules = [{"greater": "b", "than": "a"}, {"greater": "a + 0.1", "than": "b"}, {"greater": "b", "than": "a + 0.03"}]
    found = studies.judge(study(one, rules, 3), records)
    half = 4.302653 * 0.01 / math.sqrt(3)
    first, second, third = found["rules"]
    assert first["rule"] == "b > a"
    assert first["difference"] == pytest.approx(0.05)
    assert (first["low"], first["high"]) == pytest.approx((0.05 - half, 0.05 + half), abs=1e-7)
    assert [rule["outcome"] for rule in found["rules"]] == ["holds", "holds", "open"]
    assert second["difference"] == pytest.approx(0.05)
    assert third["difference"] == pytest.approx(0.02)
    assert found["verdict"] == studies.UNDECIDED
    assert (found["seeds"], found["points"], found["seconds"]) == ([0, 1, 2], 3, 4.5)
    assert found["ours"]["a"][""][0] == pytest.approx(0.4)
    assert found["ours"]["a"][""][1] == pytest.approx(0.4 - 4.302653 * 0.1 / math.sqrt(3), abs=1e-7)
    assert {key: found[key] for key in ("title", "claim", "source", "published", "remark")} == {
        **{key: CONTENT[key] for key in ("title", "claim", "source", "published")},
        "remark": "",
    }


def test_places_on_the_axis_and_settings_pick_the_points() -> None:
    named = {
        "a": Named((Measure("a", "knn", layer="res5"),)),
        "at_four": Named((Measure("a", "knn"),), {"clusters": 4}),
        "layers": Named((Measure("a", "knn", layer="conv1"), Measure("a", "knn", layer="res5")), {"clusters": 8}),
    }
    records = [
        record(0, {("a", "conv1"): 0.1 * clusters, ("a", "res5"): 0.05 * clusters}, clusters=clusters)
        for clusters in (4, 8)
    ]
    rules = [{"greater": "a@8 - a@4", "than": "0.1"}, {"greater": "at_four", "than": "a@4"}]
    found = studies.judge(study(named, rules, 1, axis="clusters"), records)
    assert [rule["difference"] for rule in found["rules"]] == pytest.approx([0.1, 0.2])
    assert {rule["outcome"] for rule in found["rules"]} == {judging.OPEN}
    assert {rule["low"] for rule in found["rules"]} == {None}
    assert found["ours"] == {
        "a": {"4": [pytest.approx(0.2), None, None], "8": [pytest.approx(0.4), None, None]},
        "at_four": {"": [pytest.approx(0.4), None, None]},
        "layers": {"conv1": [pytest.approx(0.8), None, None], "res5": [pytest.approx(0.4), None, None]},
    }


def test_only_what_is_shown_is_kept() -> None:
    named = {name: Named((Measure(name, "knn"),)) for name in ("a", "b")}
    records = [record(0, {("a", ""): 0.5, ("b", ""): 0.4})]
    found = studies.judge(study(named, [{"greater": "a", "than": "b"}], 1, shown=["b"]), records)
    assert list(found["ours"]) == ["b"]


def test_a_point_or_a_score_that_is_missing_is_named() -> None:
    named = {"a": Named((Measure("a", "knn", layer="res5"),), {"clusters": 8})}
    rules = [{"greater": "a", "than": "0"}]
    with pytest.raises(ParameterError, match=r"study trial: no point has \{'clusters': 8\} and seed 0"):
        studies.judge(study(named, rules, 1), [record(0, {("a", "res5"): 0.5}, clusters=4)])
    with pytest.raises(ParameterError, match="has no top1 of a-knn at layer res5"):
        studies.judge(study(named, rules, 1), [record(0, {("a", "conv1"): 0.5}, clusters=8)])


def test_a_file_becomes_a_study_of_the_setting_that_is_asked_for(root: Path) -> None:
    found = load(root, "full", full={**QUICK, "seeds": [0, 1, 2]})
    assert (found.name, found.setting, found.axis) == ("trial", "full", "clusters")
    assert found.sweep.name == "trial_full"
    assert found.sweep.seeds == (0, 1, 2)
    assert found.measures["refitted"] == Named((Measure("rotation_cf", "knn", "", "res5"),))
    assert found.measures["both"].measures == (Measure("rotation", "knn"), Measure("rotation_cf", "knn"))
    assert found.measures["both"].at == {"clusters": 8}
    assert found.measures["loss"].measures[0].target == "rotation"
    assert studies.known(Project(root)) == ["trial"]


def test_rules_of_every_form_are_taken(root: Path) -> None:
    rules = [
        {"greater": "refitted@8 - refitted@4", "than": 0.01},
        {"greater": "0.5", "than": "loss"},
    ]
    assert len(load(root, rules=rules, floor="pretrained").content["rules"]) == 2


def test_the_arms_of_the_permutations_differ_in_the_permutations_alone() -> None:
    kinds = yaml.safe_load((ROOT / "params.yaml").read_text())["kinds"]
    base = yaml.safe_load((ROOT / "studies/permutations.yaml").read_text())["quick"]["base"]
    arms = {name.partition(".")[2]: block for name, block in base.items() if name.startswith("pretrain.")}
    assert set(arms) == {"pirl_10", "pirl_100", "jigsaw_10", "jigsaw_2000"}
    for name, block in arms.items():
        assert block | {"permutations": 0} == kinds["pictures"]["pretrain"][name.split("_")[0]] | {"permutations": 0}
