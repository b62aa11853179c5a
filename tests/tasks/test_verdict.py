"""The sentences: no claim that its interval does not carry."""

from __future__ import annotations

import pytest

from ssl_models.protocols._common.score import Score
from tasks.reporting import records, verdict
from tasks.reporting.headline import headline
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet


def runs_with(scores: dict[str, Score], method: str = "rotation") -> DataSet:
    """A data set of runs that have one k-NN score each; "x_cf" is the refit of "x"."""
    runs = []
    for name, found in scores.items():
        origin = name.removesuffix("_cf")
        known = origin if origin in ("random", "supervised") else method
        runs.append(Run(name, origin if name != origin else None, known, protocols={"knn": {"scores": [found]}}))
    return DataSet("world", runs)


def test_the_verdict_does_not_claim_what_the_interval_does_not_carry() -> None:
    close = runs_with(
        {
            "random": Score("", "top1", 0.30, 0.28, 0.32),
            "a": Score("", "top1", 0.50, 0.48, 0.52),
            "a_cf": Score("", "top1", 0.51, 0.49, 0.53),
            "b": Score("", "top1", 0.31, 0.29, 0.33),
        }
    )
    first, *others = verdict.verdict(close)
    assert "a_cf leads, not told apart from 1 other: 51.0\u00a0% (49.0–53.0)" in first
    assert "no supervised control" in first
    assert "21.0 points above the untrained floor (30.0)" in first
    assert others[0] == "Within the interval of the lead, so not told apart from it: a."
    assert others[1].startswith("2 of 3 representations")
    assert "+1.0 points on average over 1 refit at the best layer, within the interval (−1.8 to +3.8)" in others[2]


def test_the_verdict_names_no_winner_where_none_passes_the_floor() -> None:
    scores = {"random": Score("", "top1", 0.5, 0.48, 0.52), "a": Score("", "top1", 0.4, 0.38, 0.42)}
    first, *others = verdict.verdict(runs_with(scores))
    assert first == (
        "On world, no representation passes the untrained floor (50.0): the only one, a, reaches 40.0\u00a0% "
        "(38.0–42.0) k-NN top-1; there is no supervised control to compare with."
    )
    assert not any("pass the untrained floor" in sentence for sentence in others)
    scores |= {"b": Score("", "top1", 0.51, 0.49, 0.53), "supervised": Score("", "top1", 0.9, 0.88, 0.92)}
    assert verdict.verdict(runs_with(scores))[0] == (
        "On world, no representation passes the untrained floor (50.0) beyond the interval: the best of them, b, "
        "reaches 51.0\u00a0% (49.0–53.0) k-NN top-1, 39.0 points below the supervised ceiling (90.0)."
    )


def estimated(**prepare: object) -> DataSet:
    """Two runs that have a score without labels alone; k-NN was asked for too."""
    runs = [
        Run(
            name,
            None,
            "rotation",
            protocols={
                "knn": {"not_applicable": "knn: there are 3 samples"},
                "label_free": {"scores": [Score("pooled", "lidar", value, value - 1, value + 1)]},
            },
        )
        for name, value in (("a", 8.0), ("b", 2.0))
    ]
    return DataSet("photos", runs, dict(prepare))


def test_why_scores_without_labels_rank_is_said_as_it_is() -> None:
    first, rule, *_ = verdict.verdict(estimated(labelled=False))
    assert first.startswith("On photos, a ranks first: 8.000")
    assert rule.startswith("There are no labels, so the rule is: the higher the label-free LiDAR")
    assert "supervised" not in first
    assert verdict.verdict(estimated(labelled=True))[1].startswith("No representation has a score of k-NN, so the rule")
    data = estimated()
    for run in data.runs:
        del run.protocols["knn"]
    assert verdict.verdict(data)[1].startswith("No protocol that measures by labels was selected, so the rule is")


def test_a_lead_beyond_every_interval_is_said_to_be_one() -> None:
    clear = runs_with({"a": Score("", "top1", 0.6, 0.58, 0.62), "b": Score("", "top1", 0.4, 0.38, 0.42)})
    first, second = verdict.verdict(clear)
    assert "a transfers best: 60.0\u00a0%" in first
    assert second == "The lead is beyond the interval of every rival (next: b, 40.0)."


def test_a_winner_that_saw_more_samples_is_said_to_have() -> None:
    scores = {name: Score("", "top1", value, value - 0.02, value + 0.02) for name, value in (("a", 0.5), ("b", 0.4))}
    data = runs_with({"random": Score("", "top1", 0.3, 0.28, 0.32), **scores, "c": Score("", "top1", 0.35, 0.33, 0.37)})
    for run in data.runs:
        run.training["samples_seen"] = {"a": 200, "random": None}.get(run.name, 100)
    assert verdict.verdict(data)[1] == "It was shown 2.0 times as many samples as most others."
    for run in data.runs:
        run.training["samples_seen"] = 100
    assert not any("times as many" in sentence for sentence in verdict.verdict(data))


def test_runs_without_a_score_are_named_and_a_single_one_is_no_winner() -> None:
    alone = runs_with({"a": Score("", "top1", 0.6, 0.58, 0.62), "b": Score("", "top1", float("nan"), 0.0, 1.0)})
    first, second = verdict.verdict(alone)
    assert "a is the only representation with a score: 60.0\u00a0%" in first
    assert second == "Without a k-NN top-1 score, so not compared: b."


def test_weights_from_elsewhere_compete_and_are_said_to_come_from_there() -> None:
    scores = {"a": Score("", "top1", 0.7, 0.68, 0.72), "a_cf": Score("", "top1", 0.8, 0.78, 0.82)}
    taken = runs_with(scores, method="pretrained")
    assert [run.role for run in taken.runs] == ["pretrained", "pretrained"]
    assert [row.run.name for row in headline(taken)[0]] == ["a", "a_cf"]
    assert verdict.verdict(taken)[1].startswith("It learnt from a network whose weights come from elsewhere")
    own = runs_with({"b": Score("", "top1", 0.9, 0.88, 0.92)})
    both = DataSet("world", [*taken.runs, *own.runs])
    assert not any("elsewhere" in sentence for sentence in verdict.verdict(both))


BEGAN, TAKEN = "training began with weights", "weights come"


LINEAGES = {
    "plain": None,
    "plain_on": None,
    "begun": f"Its {BEGAN}",
    "begun_on": f"Its {BEGAN}",
    "begun_on_cf": f"It learnt from a network whose {BEGAN}",
    "begun_on_cf_on": f"It learnt from a network whose {BEGAN}",
    "plain_begun": f"Its {BEGAN}",
    "taken": f"Its {TAKEN}",
    "taken_cf": f"It learnt from a network whose {TAKEN}",
    "taken_on": f"Its {BEGAN}",
    "taken_on_cf": f"It learnt from a network whose {BEGAN}",
}
"""Runs, each but the first of a line named after its source, and what is said of each: "on" goes on with weights."""


@pytest.mark.parametrize("winner", LINEAGES)
def test_weights_from_elsewhere_are_told_through_any_chain_of_runs(winner: str) -> None:
    runs = []
    for name in LINEAGES:
        source, _, kind = name.rpartition("_")
        on, value = kind == "on", 0.9 if name == winner else 0.2
        run = Run(name, source or None, "pretrained" if name in ("taken", "taken_cf") else "simclr")
        run.protocols["knn"] = {"scores": [Score("", "top1", value, value - 0.01, value + 0.01)]}
        run.training.update({"weights": source} if on else {"weights": "x.pth"} if kind in ("begun", "taken") else {})
        run.cluster.update({"outputs": "weights"} if on else {})
        runs.append(run)
    found = [sentence for sentence in verdict.verdict(DataSet("world", runs)) if "elsewhere" in sentence]
    assert [sentence.partition(" from elsewhere: ")[0] for sentence in found] == (
        [told] if (told := LINEAGES[winner]) else []
    )


def test_a_training_that_goes_on_is_no_refit_of_clusterfit() -> None:
    data = runs_with({"a": Score("", "top1", 0.5, 0.48, 0.52), "a_cf": Score("", "top1", 0.6, 0.58, 0.62)})
    assert any(sentence.startswith("ClusterFit added") for sentence in verdict.verdict(data))
    data.runs[1].cluster.update({"outputs": "weights", "source": "a"})
    assert not any(sentence.startswith("ClusterFit added") for sentence in verdict.verdict(data))


def test_what_has_once_learnt_from_the_labels_stays_supervised() -> None:
    parameters = {
        "pretrain": {"a": {"method": "rotation"}, "s": {"method": "supervised"}, "p": {"method": "pretrained"}},
        "clusterfit": {
            "a_cf": {"source": "a", "clusters": 4},
            "a_on": {"source": "a", "method": "simclr", "outputs": "weights"},
            "a_tuned": {"source": "a_on", "method": "supervised", "outputs": "weights"},
            "a_tuned_cf": {"source": "a_tuned", "clusters": 4},
            "s_on": {"source": "s", "method": "simclr", "outputs": "weights"},
            "p_cf": {"source": "p", "clusters": 4},
        },
    }
    found = {name: records._method(parameters, name) for name in parameters["clusterfit"]}
    assert found == {
        "a_cf": "rotation",
        "a_on": "simclr",
        "a_tuned": "supervised",
        "a_tuned_cf": "supervised",
        "s_on": "supervised",
        "p_cf": "pretrained",
    }
