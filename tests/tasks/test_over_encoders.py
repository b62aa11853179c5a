"""Rules over encoders: what a file may say, signs, families, what an outcome keeps, and its page."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import studies as readme_board
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.studies import association_plots, board, measures, over_encoders
from tasks.studies import study as studies
from tasks.studies.study import Study
from tasks.sweeps import points
from tests.tasks.conftest import ROOT, SMALL
from tests.tasks.test_studies import root  # noqa: F401 - a fixture

WORLD = SMALL["datasets"]["world"]
QUICK: dict[str, Any] = {
    "base": {
        "datasets.other": {**WORLD, "name": "other", "train": 128},
        "pretrain.random": {"method": "random"},
        "pretrain.supervised": {"method": "supervised"},
        "clusterfit.random_cf": {"source": "random", "clusters": 5},
        "clusterfit.random_cf_cf": {"source": "random_cf", "clusters": 5},
    },
    "grid": {"data": ["world", "other"]},
    "seeds": [0],
}
RUNS = ("rotation", "random", "supervised", "rotation_cf", "random_cf", "random_cf_cf")
RULE = {"correlation": ["score", "loss"], "with": "accuracy", "above": 0.3, "over": "encoders"}
CONTENT: dict[str, Any] = {
    "title": "A title",
    "claim": "A claim.",
    "source": "A paper",
    "published": {"measure": "words alone", "numbers": {}},
    "measures": {
        "score": {"runs": "all", "protocol": "knn", "metric": "score", "layer": "pooled", "near": 1},
        "loss": {"runs": "all", "protocol": "knn", "metric": "loss", "layer": "pooled", "better": "less"},
        "accuracy": {"runs": "all", "protocol": "knn", "layer": "pooled"},
    },
    "axis": "data",
    "rules": [RULE],
    "beside": [{"correlation": "loss", "with": "accuracy", "over": "encoders", "without": ["random", "supervised"]}],
    "quick": QUICK,
    "full": QUICK,
}


def load(root: Path, **changes: Any) -> Study:  # noqa: F811
    content = {**CONTENT, **changes}
    (root / "studies" / "trial.yaml").write_text(yaml.safe_dump(content))
    return studies.load(Project(root), "trial")


def with_measure(**block: Any) -> dict[str, Any]:
    return {"measures": {**CONTENT["measures"], "x": {"protocol": "knn", **block}}}


def with_rule(**changes: Any) -> dict[str, Any]:
    rule = {**RULE, **changes}
    return {"rules": [{key: value for key, value in rule.items() if value is not None}]}


def record(data: str, numbers: dict[str, dict[str, float]], seed: int = 0) -> dict[str, Any]:
    """A point's record; numbers: run -> metric -> value, by k-NN. The first metric is the accuracy."""
    scores = [
        {"run": run, "protocol": "knn", "layer": "pooled", "metric": metric, "value": value}
        for run, own in numbers.items()
        for metric, value in own.items()
    ]
    return {"name": data, "settings": {"data": data}, "seed": seed, "seconds": 2.0, "scores": scores}


def made(order: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Records in which accuracy goes with the order of RUNS, the loss against it, and the score is 1 + a distance."""
    return [
        record(
            data,
            {
                run: {"top1": 0.1 * place, "score": 1 + (-1) ** place * 0.5 * distance, "loss": 5.0 - place}
                for place, (run, distance) in enumerate(zip(RUNS, distances, strict=True))
            },
        )
        for data, distances in order.items()
    ]


ORDER = {"world": (5, 4, 3, 2, 1, 0), "other": (0, 1, 2, 3, 5, 4)}


def test_all_runs_and_the_targets_that_they_need(root: Path) -> None:  # noqa: F811
    shutil.copy(ROOT / "dvc.yaml", root)
    study = load(root)
    assert study.measures["accuracy"].runs == RUNS
    assert study.sweep.targets == tuple(f"{run}-knn" for run in RUNS)
    assert study.places == ["world", "other"]
    first, second = points.points(Project(root), study.sweep)
    assert [first.settings, second.settings] == [{"data": "world"}, {"data": "other"}]
    assert 'data.name="other"' in second.overrides
    less = load(root, **with_measure(runs="all", without=["random", "supervised"], at={"data": "world"}))
    assert less.measures["x"].runs == ("rotation", "rotation_cf", "random_cf", "random_cf_cf")


def test_a_rule_stands_for_every_pair_at_every_place(root: Path) -> None:  # noqa: F811
    found = [over_encoders.text(one) for one in over_encoders.expanded(load(root), RULE)]
    assert found == [
        f"rank correlation of {score}@{place} with accuracy@{place} > 0.3, over encoders"
        for place in ("world", "other")
        for score in ("score", "loss")
    ]
    placed = {**RULE, "correlation": "score@other", "with": "accuracy@world"}
    (one,) = over_encoders.expanded(load(root), placed)
    assert (one["correlation"], one["with"]) == ("score@other", "accuracy@world")


def test_measures_of_different_places_can_be_compared(root: Path) -> None:  # noqa: F811
    """Accuracy is the same on both, and the loss goes against it: what is @ counts, and what is `at`."""
    own = {name: CONTENT["measures"][name] for name in ("loss", "accuracy")}
    own["x"] = {**own["accuracy"], "at": {"data": "world"}}
    for rule, places in (
        ({"correlation": "loss@other", "with": "accuracy@world"}, ["other", "world"]),
        ({"correlation": "loss@other", "with": "x"}, ["other", ""]),
    ):
        found = studies.judge(load(root, measures=own, rules=[{**RULE, **rule}]), made(ORDER))
        one = found["rules"][0]["association"]
        assert (one["rho"], one["place"], one["places"]) == (pytest.approx(1), "other", places)
        assert "loss +1.00" in association_plots.figure(found, "s")


@pytest.mark.parametrize(
    ("value", "better", "expected"),
    [(0.4, "more", 0.4), (0.4, "less", -0.4), (0.4, 1.0, -0.6), (1.5, 1.0, -0.5), (1.0, 1.0, 0.0)],
)
def test_signs(value: float, better: str | float, expected: float) -> None:
    assert measures.oriented(value, better) == pytest.approx(expected)


def test_rules_are_judged_over_encoders(root: Path) -> None:  # noqa: F811
    """The score is 1 + or - half of what ORDER says, so its order is that of ORDER backwards; the loss is turned.

    On the other data set ranks 6 5 4 3 1 2 stand against 1 to 6: the sum of squared differences is 68, and rho
    1 - 6 * 68 / 210.
    """
    found = studies.judge(load(root), made(ORDER))
    score, loss, other, other_loss = (rule["association"] for rule in found["rules"])
    assert (score["rho"], loss["rho"], other_loss["rho"]) == pytest.approx((1, 1, 1))
    assert other["rho"] == pytest.approx(1 - 6 * 68 / 210)
    assert [one["place"] for one in (score, other)] == ["world", "other"]
    assert (score["score"], score["with"], score["encoders"], score["families"]) == ("score", "accuracy", 6, 3)
    first, _, third, _ = found["rules"]
    assert first["difference"] == pytest.approx(0.7)
    assert (first["outcome"], third["outcome"]) == ("holds", "fails")
    assert third["high"] == pytest.approx(other["high"] - 0.3)
    assert found["verdict"] == studies.NOT_REPRODUCED
    assert [entry["association"]["encoders"] for entry in found["beside"]] == [4, 4]
    assert found["beside"][0]["rule"].endswith("over encoders without random, supervised")


def test_an_outcome_keeps_every_number_as_it_was_measured(root: Path) -> None:  # noqa: F811
    found = studies.judge(load(root), made(ORDER))
    assert found["ours"] == {}
    assert found["encoders"]["world"]["rotation"] == {"score": 3.5, "loss": 5.0, "accuracy": 0.0}
    assert list(found["encoders"]["other"]) == list(RUNS)
    assert found["better"] == {"score": 1.0, "loss": "less", "accuracy": "more"}
    assert found["families"] == {
        "rotation": "rotation",
        "random": "random",
        "supervised": "supervised",
        "rotation_cf": "rotation",
        "random_cf": "random",
        "random_cf_cf": "random",
    }


def test_seeds_are_averaged_for_each_encoder(root: Path) -> None:  # noqa: F811
    """In seed 1 the score of all but one is the same: the mean over seeds has the order of seed 0."""
    study = load(root, quick={**QUICK, "seeds": [0, 1], "grid": {"data": ["world"]}}, full={**QUICK, "seeds": [0]})
    first = made({"world": ORDER["world"]})[0]
    flat = record("world", {run: {"top1": 0.3, "score": 1.0, "loss": 2.0} for run in RUNS}, seed=1)
    found = studies.judge(study, [first, flat])
    assert found["encoders"]["world"]["rotation"] == pytest.approx({"score": 2.25, "loss": 3.5, "accuracy": 0.15})
    assert found["rules"][0]["association"]["rho"] == pytest.approx(1)


def test_an_encoder_without_a_number_is_left_out_and_named(root: Path) -> None:  # noqa: F811
    records = made(ORDER)
    records[0]["scores"] = [s for s in records[0]["scores"] if (s["run"], s["metric"]) != ("random", "score")]
    for score in records[1]["scores"]:
        if (score["run"], score["metric"]) == ("supervised", "score"):
            score["value"] = math.nan
    found = studies.judge(load(root), records)
    assert [rule["association"]["left_out"] for rule in found["rules"]] == [["random"], [], ["supervised"], []]
    assert found["rules"][0]["association"]["encoders"] == 5
    records[0]["scores"] = [s for s in records[0]["scores"] if s["metric"] != "score"]
    with pytest.raises(
        ParameterError, match=r"study trial: .*score@world.* 0 encoders have both numbers, and at least 4"
    ):
        studies.judge(load(root), records)


def test_a_constant_score_leaves_a_rule_open(root: Path) -> None:  # noqa: F811
    found = studies.judge(load(root), made({**ORDER, "world": (1, 1, 1, 1, 1, 1)}))
    board.file(Project(root), found)
    kept = next(outcome for outcome in board.outcomes(Project(root)) if outcome["name"] == "trial")
    assert kept["rules"][0]["outcome"] == "open"
    assert kept["rules"][0]["association"]["rho"] is None
    assert "no number" in board.render(Project(root))


def test_an_outcome_is_kept_and_shown(root: Path, tmp_path: Path) -> None:  # noqa: F811
    found = studies.judge(load(root), made(ORDER))
    project = Project(tmp_path)
    path = board.file(project, found)
    kept = json.loads(path.read_text())
    assert {key: kept[key] for key in found} == json.loads(json.dumps(found))
    page = board.write(project).read_text()
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert words.count("6 in 3 families") == 4
    assert "2 more, which no rule judges" in words
    assert "Controls: random, supervised." in words
    assert "As published: words alone." in words
    assert board.write(project).read_bytes() == page.encode()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert not re.search(r"https?://", page)


def test_many_rules_are_counted_on_the_board(root: Path) -> None:  # noqa: F811
    found = studies.judge(load(root, **with_rule(**{"with": ["accuracy", "loss"]})), made(ORDER))
    assert len(found["rules"]) == 8
    ((rule, text),) = board.told(found)
    assert rule == f"8 rules, such as {found['rules'][0]['rule']}"
    assert text == "6 hold, 2 fail"
    assert "6 hold, 2 fail" in readme_board.markdown([{**found, "machine": "m"}])
    few = {**found, "rules": found["rules"][:2]}
    assert [text.split(" ")[0] for _, text in board.told(few)] == ["+0.700", "+0.700"]


def test_the_figure_has_a_row_a_score_and_a_panel_a_score_and_place(root: Path) -> None:  # noqa: F811
    words = re.sub(r"<[^>]+>", " ", association_plots.figure(studies.judge(load(root), made(ORDER)), "s"))
    assert all(text in words for text in ("with accuracy", "by chance alone, 95 %", "world, accuracy", "loss +1.00"))
    assert "score −0.94" in words
