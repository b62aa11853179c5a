"""Searches: what a block may say, what is refused before anything runs, and trials that outlive a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import points, results, search, trials
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Measure, Sweep
from tasks.sweeps.trials import SearchStudy
from tests.tasks.conftest import SMALL, make_project

SPACE: dict[str, Any] = {
    "training.learning_rate": {"low": 0.0005, "high": 0.02, "log": True},
    "clusterfit.rotation_cf.clusters": {"low": 4, "high": 64, "log": True},
    "transfer.knn.neighbours": [10, 20],
}
GOOD: dict[str, Any] = {
    "search": {"trials": 8, "space": SPACE},
    "seeds": [0, 1],
    "targets": ["rotation_cf-knn"],
    "metric": {"run": "rotation_cf", "protocol": "knn"},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


def build(root: Path, **changes: Any) -> Sweep:
    """The good sweep, with changes to the keys of its search, or by their names to those beside it."""
    block = {**GOOD["search"], **{key: changes.pop(key) for key in list(changes) if key not in GOOD}}
    return sweeps.build(Project(root), "try", {**GOOD, "search": block, **changes})


def hand_made(**changes: Any) -> Sweep:
    """A sweep without a project, for studies whose points are stand-ins."""
    block = {**GOOD["search"], **changes}
    measure = Measure("rotation_cf", "knn")
    return Sweep("try", {"seed": 0, "machine": {}}, {}, (0, 1), ("rotation_cf-knn",), measure, block)


def stand_in(
    project: Project,  # noqa: ARG001
    sweep: Sweep,
    combinations: Iterable[tuple[Mapping[str, Any], int]],
) -> list[Point]:
    """Points that were never resolved: their one stage's identity is a hash of the settings."""
    found = []
    for settings, seed in combinations:
        identity = hashlib.sha256(json.dumps([settings, seed], sort_keys=True).encode()).hexdigest()
        found.append(Point(sweep.name, dict(settings), seed, {"one": identity}, ("one",), ()))
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "points", stand_in)


def worth(settings: Mapping[str, Any]) -> float:
    return float(settings["training.learning_rate"]) + settings["clusterfit.rotation_cf.clusters"]


def run(study: SearchStudy, width: int = 2, rounds: int = 99) -> None:
    """Rounds of trials that are told what they are worth."""
    for _ in range(rounds):
        for trial in study.take(width):
            study.tell(trial, worth(trial.settings))


def test_a_search_s_points_have_the_settings_and_every_seed(small: Path) -> None:
    study = SearchStudy(Project(small), build(small))
    (trial,) = study.take(1)
    assert list(trial.settings) == list(SPACE)
    first, second = study.points(trial)
    assert (first.seed, second.seed) == (0, 1)
    rate, clusters, _ = trial.settings.values()
    assert first.settings == second.settings == trial.settings
    assert f"training.learning_rate={rate}" in first.overrides
    same = clusters == SMALL["clusterfit"]["rotation_cf"]["clusters"]  # then there is nothing to override
    assert same or f"clusterfit.rotation_cf.clusters={clusters}" in first.overrides
    trials.journal(Project(small), "try").unlink()


@pytest.mark.usefixtures("quick")
def test_draws_stay_in_the_space_and_have_six_digits(tmp_path: Path) -> None:
    for sampler in search.SAMPLERS:
        study = SearchStudy(Project(tmp_path), hand_made(trials=20, sampler=sampler))
        run(study)
        for trial in study.trials():
            rate, clusters, neighbours = trial.settings.values()
            assert 0.0005 <= rate <= 0.02
            assert float(f"{rate:.6g}") == rate
            assert isinstance(clusters, int)
            assert 4 <= clusters <= 64
            assert neighbours in (10, 20)


@pytest.mark.usefixtures("quick")
def test_values_of_a_list_come_back_as_they_stand(tmp_path: Path) -> None:
    values = [1, True, 1.0, None, ["a", "b"]]
    study = SearchStudy(Project(tmp_path), hand_made(trials=40, sampler="random", space={"training.x": values}))
    shown = {json.dumps(trial.settings["training.x"]) for trial in study.take(40)}
    assert shown == {json.dumps(value) for value in values}


def history(study: SearchStudy) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.settings, trial.state, trial.value) for trial in study.trials()]


@pytest.mark.usefixtures("quick")
def test_a_kill_at_any_byte_changes_no_trial(tmp_path: Path) -> None:
    """The journal is cut as a kill or a full disk may cut it, with Optuna's lock left behind."""
    sweep = hand_made()
    run(whole := SearchStudy(Project(tmp_path), sweep))
    expected, written = history(whole), trials.journal(Project(tmp_path), "try").read_bytes()
    assert len(expected) == 8
    for number, length in enumerate(range(0, len(written), 211)):
        place = tmp_path / str(number)
        path = trials.journal(Project(place), "try")
        path.parent.mkdir(parents=True)
        path.write_bytes(written[:length])
        path.with_name("try.log.lock").symlink_to(path)
        study = SearchStudy(Project(place), sweep)
        run(study)
        assert history(study) == expected


@pytest.mark.usefixtures("quick")
def test_trials_under_way_are_taken_up_again_with_their_settings(tmp_path: Path) -> None:
    sweep = hand_made()
    first = SearchStudy(Project(tmp_path), sweep)
    left = first.take(3)
    first.tell(left[1], 1.0)
    again = SearchStudy(Project(tmp_path), sweep)
    assert again.take(3) == [left[0], left[2]]
    assert again.take(3) == [left[0], left[2]]


@pytest.mark.usefixtures("quick")
def test_more_trials_go_on_and_another_space_starts_anew(tmp_path: Path) -> None:
    run(SearchStudy(Project(tmp_path), hand_made()))
    more = SearchStudy(Project(tmp_path), hand_made(trials=11, sampler="tpe", goal="maximize"))
    before = more.trials()
    assert len(before) == 8
    run(more)
    assert more.trials()[:8] == before
    assert len(more.trials()) == 11
    other = {**SPACE, "transfer.knn.neighbours": [10, 20, 30]}
    for changes in ({"space": other}, {"goal": "minimize"}, {"sampler": "random"}):
        assert not SearchStudy(Project(tmp_path), hand_made(**changes)).trials()
    metric = dataclasses.replace(hand_made(), metric=Measure("rotation_cf", "knn", "top5"))
    assert not SearchStudy(Project(tmp_path), metric).trials()
    assert len(SearchStudy(Project(tmp_path), hand_made()).trials()) == 11


@pytest.mark.usefixtures("quick")
def test_failed_trials_are_kept_and_never_the_best(tmp_path: Path) -> None:
    study = SearchStudy(Project(tmp_path), hand_made(goal="minimize"))
    for trial, value in zip(study.take(4), (3.0, None, float("nan"), 2.0), strict=True):
        study.tell(trial, value)
    assert [trial.state for trial in study.trials()] == ["done", "failed", "failed", "done"]
    assert [trial.value for trial in study.best()] == [2.0, 3.0]
    assert study.take(4)[0].number == 4


@pytest.mark.usefixtures("quick")
def test_a_look_writes_nothing(tmp_path: Path) -> None:
    assert not SearchStudy(Project(tmp_path), hand_made(), reading=True).trials()
    assert not list(tmp_path.iterdir())
    run(SearchStudy(Project(tmp_path), hand_made()), rounds=1)
    path = trials.journal(Project(tmp_path), "try")
    path.write_bytes(path.read_bytes() + b'{"op_co')
    assert len(SearchStudy(Project(tmp_path), hand_made(), reading=True).trials()) == 2
    assert path.read_bytes().endswith(b"op_co")
    assert not SearchStudy(Project(tmp_path), hand_made(goal="minimize"), reading=True).trials()


@pytest.mark.usefixtures("quick")
def test_a_journal_that_is_damaged_is_named(tmp_path: Path) -> None:
    run(SearchStudy(Project(tmp_path), hand_made()))
    path = trials.journal(Project(tmp_path), "try")
    path.write_bytes(path.read_bytes().replace(b'"op_code":4', b'"op_co', 1))
    path.write_bytes(b"no journal\n" + path.read_bytes())
    with pytest.raises(ParameterError, match=r"is damaged .*; remove it"):
        SearchStudy(Project(tmp_path), hand_made())


@pytest.mark.usefixtures("quick")
def test_a_trial_s_value_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    study = SearchStudy(Project(tmp_path), hand_made())
    score = {"run": "rotation_cf", "protocol": "knn", "layer": "", "metric": "top1"}
    records = [{"settings": {}, "seed": seed, "scores": [{**score, "value": 0.5 + seed}]} for seed in (0, 1)]
    assert study.mean(records) == results.mean([0.5, 1.5])
    assert study.mean(records).value == 1.0


def of(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return {"space": {"training.learning_rate": {"low": low, "high": high, **more}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, "unknown setting 'trails'. Did you mean 'trials'"),
        ({"trials": 0}, "search.trials is 0; it must be at least 1"),
        ({"trials": "many"}, "'many' is not of type int"),
        ({"sampler": "tpee"}, "unknown sampler 'tpee'. Did you mean 'tpe'"),
        ({"goal": "maximise"}, "unknown goal 'maximise'. Did you mean 'maximize'"),
        ({"goal": "minimize"}, "name a `layer`"),
        ({"metric": None}, "a search needs a `metric`|is not of type dict"),
        ({"space": {}}, "search.space is empty"),
        ({"space": [1]}, r"\[1\] is not of type dict"),
        (
            {"space": {"training.learning_rat": {"low": 0.1, "high": 0.2}}},
            "search.space: .*Did you mean 'learning_rate'",
        ),
        ({"space": {"training.epochs": {"low": 1.5, "high": 3.0}}}, "1.5 is not of type int"),
        ({"space": {"training.epochs": {"low": 1, "high": 3.5}}}, "3.5 is not of type int"),
        ({"space": {"transfer.knn.neighbours": [5, "few"]}}, "'few' is not of type int"),
        ({"space": {"transfer.knn.neighbours": [5]}}, "at least two values"),
        ({"space": {"transfer.knn.neighbours": [5, 5, 6]}}, "each once"),
        ({"space": {"transfer.knn.neighbours": 5}}, "must be a list of values, or"),
        (of(0.2, 0.1), "low must be below high"),
        (of(0.1, 0.1), "low must be below high"),
        (of(0.1, float("inf")), "high is inf; it must be a finite number"),
        (of(0, 0.1, log=True), "low is 0; with `log: true` it must be above 0"),
        (of("1e-4", 0.1), "low: '1e-4' is not of type float"),
        (of(0.1, 0.2, step=0.1), "unknown setting 'step'"),
        ({"space": {"training.learning_rate": {"low": 0.1}}}, "'high' is missing"),
    ],
)
def test_bad_searches_are_refused_before_anything_runs(small: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build(small, **changes)


def test_a_search_without_a_metric_or_without_anything_is_refused(small: Path) -> None:
    content = {key: value for key, value in GOOD.items() if key != "metric"}
    with pytest.raises(ParameterError, match="a search needs a `metric`: what it is to maximize"):
        sweeps.build(Project(small), "try", content)
    with pytest.raises(ParameterError, match="search: 'trials' is missing"):
        sweeps.build(Project(small), "try", {**GOOD, "search": {}})


def test_a_setting_that_no_target_depends_on_is_refused(small: Path) -> None:
    sweep = build(small, space={"datasets.world.train": [192, 256]})  # and not data.train
    with pytest.raises(ParameterError, match="make the same; no target depends on what differs"):
        SearchStudy(Project(small), sweep)


def test_code_that_a_point_imports_starts_a_study_anew_with_the_same_settings(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    before = SearchStudy(Project(root), build(root)).take(2)
    path = root / "ssl_models/methods/rotation.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    after = SearchStudy(Project(root), build(root))
    assert not after.trials()
    assert after.take(2) == before
