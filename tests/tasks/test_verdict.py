"""The sentences: no claim that its interval does not carry."""

from __future__ import annotations

from ssl_models.protocols._common.score import Score
from tasks.reporting import verdict
from tasks.reporting.tables import DataSet, Run


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


def test_the_verdict_says_when_the_winner_is_below_the_floor() -> None:
    low = runs_with({"random": Score("", "top1", 0.5, 0.48, 0.52), "a": Score("", "top1", 0.4, 0.38, 0.42)})
    assert "10.0 points below the untrained floor" in verdict.verdict(low)[0]


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
