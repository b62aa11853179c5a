"""`covey sweep` of a search, with a stand-in for the servers that files records of a known function of the settings."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.run.jobs import Failure
from flows.sweep import execution, search
from tasks.process import files
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import points
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Measure, Sweep
from tasks.sweeps.trials import SearchStudy, Trial
from tests.tasks import test_trials
from tests.tasks.conftest import make_project

RATE, DECAY = "training.learning_rate", "training.weight_decay"
SPACE = {RATE: {"low": 0.0001, "high": 0.1, "log": True}, DECAY: {"low": 0.001, "high": 1.0, "log": True}}


def worth(settings: Mapping[str, Any], seed: int) -> float:
    """Highest, 1, at learning rate 0.004 and weight decay 0.05; seeds differ by 0.002."""
    return 1 - math.log10(settings[RATE] / 0.004) ** 2 - math.log10(settings[DECAY] / 0.05) ** 2 + 0.002 * (seed - 0.5)


class Machine:
    """In place of the servers: `calls` are the points of each round; `wrong` may fail one, or stop it all."""

    def __init__(self, wrong: Callable[[Point], bool] = lambda _: False, metric: str = "top1") -> None:
        self.wrong, self.metric = wrong, metric
        self.calls: list[list[Point]] = []
        self.starts = 0

    @contextmanager
    def servers(self, project: Project) -> Iterator[Any]:
        self.starts += 1
        yield lambda _, new, jobs: self.run(project, new, jobs)

    def run(self, project: Project, new: Sequence[Point], jobs: int | None) -> Any:  # noqa: ARG002
        self.calls.append(list(new))
        failed: list[Failure] = []
        for point in new:
            if self.wrong(point):
                failed.append(Failure(str(point), f"point '{point}': failed (exit code 1)", "", project.log("none"), 1))
            else:
                files.write_json(points.record_path(project, point.key), self.record(point))
        return SimpleNamespace(failed=failed)

    def record(self, point: Point) -> dict[str, Any]:
        number = worth(point.settings, point.seed)
        score = {"run": "rotation", "protocol": "knn", "layer": "", "metric": self.metric}
        return {
            "name": point.name,
            "settings": dict(point.settings),
            "seed": point.seed,
            "stages": dict(point.stages),
            "spent": {},
            "scores": [{**score, "value": number, "low": number, "high": number}],
        }


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], Machine]:
    def put(machine: Machine) -> Machine:
        monkeypatch.setattr(execution, "servers", machine.servers)
        monkeypatch.setattr(points, "points", test_trials.stand_in)
        return machine

    return put


def make(count: int = 6, seed: int = 0, metric: str = "", **changes: Any) -> Sweep:
    block = {"trials": count, "space": SPACE, **changes}
    parameters = {"seed": seed, "machine": {"threads": 1}}
    return Sweep("try", parameters, {}, (0, 1), ("rotation-knn",), Measure("rotation", "knn", metric), block)


def done(root: Path, sweep: Sweep) -> list[Trial]:
    return SearchStudy(Project(root), sweep, reading=True).trials()


def test_rounds_fit_the_machine_and_the_servers_start_once(tmp_path, install):
    machine = install(Machine())
    assert not search.run_search(Project(tmp_path), make(5), 4)
    assert [len(call) for call in machine.calls] == [4, 4, 2]  # two trials of two seeds; the last one alone
    assert [point.seed for point in machine.calls[0]] == [0, 1, 0, 1]
    assert machine.starts == 1
    for trial in done(tmp_path, make(5)):
        assert trial.value == pytest.approx(worth(trial.settings, 0.5))


def test_tpe_finds_the_neighbourhood_of_the_best_sooner_than_chance(tmp_path, install):
    """Squared distances in decades of the last ten of 25 trials, over five seeds."""
    install(Machine())
    late: dict[str, list[float]] = {"tpe": [], "random": []}
    best = []
    for seed in range(5):
        for sampler, found in late.items():
            sweep = make(25, seed, sampler=sampler)
            root = tmp_path / f"{sampler}-{seed}"
            search.run_search(Project(root), sweep, 2)
            found += [1 - (trial.value or 0.0) for trial in done(root, sweep)[15:]]
            if sampler == "tpe":
                best.append(SearchStudy(Project(root), sweep, reading=True).best()[0])
    assert statistics.median(late["tpe"]) < 0.3 * statistics.median(late["random"])
    for trial in best:  # within a factor of two, where the space spans one of a thousand
        assert abs(math.log2(trial.settings[RATE] / 0.004)) < 1
        assert abs(math.log2(trial.settings[DECAY] / 0.05)) < 1


def test_a_search_that_was_stopped_ends_as_one_that_was_not(tmp_path, install):
    sweep = make(12)
    install(Machine())
    search.run_search(Project(tmp_path / "whole"), sweep, 4)
    seen: list[Point] = []

    def stop(point: Point) -> bool:
        seen.append(point)
        if len(seen) in (3, 8, 15, 21):
            raise KeyboardInterrupt
        return False

    machine = install(Machine(stop))
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            search.run_search(Project(tmp_path / "stopped"), sweep, 4)
    assert not search.run_search(Project(tmp_path / "stopped"), sweep, 4)
    assert done(tmp_path / "stopped", sweep) == done(tmp_path / "whole", sweep)
    assert len(seen) == 24 + 4  # what had a record was not run again
    assert machine.starts == 5


def test_what_has_been_run_is_not_run_again_even_without_the_journal(tmp_path, install):
    machine = install(Machine())
    search.run_search(Project(tmp_path), make(6), 2)
    before, calls = done(tmp_path, make(6)), len(machine.calls)
    search.run_search(Project(tmp_path), make(6), 2)
    (tmp_path / ".covey/sweeps/searches/try.log").unlink()
    search.run_search(Project(tmp_path), make(6), 2)
    assert done(tmp_path, make(6)) == before
    assert (len(machine.calls), machine.starts) == (calls, 1)
    search.run_search(Project(tmp_path), make(8), 2)
    assert done(tmp_path, make(8))[:6] == before
    assert len(machine.calls) == calls + 2


def test_a_trial_that_fails_fails_alone(tmp_path, install, capsys):
    rates: list[float] = []

    def wrong(point: Point) -> bool:
        rates.append(point.settings[RATE])
        return rates.index(point.settings[RATE]) == 4 and point.seed == 1  # a seed of the third trial

    install(Machine(wrong))
    assert search.run_search(Project(tmp_path), make(6), 2)
    trials = done(tmp_path, make(6))
    assert [trial.state for trial in trials] == ["done", "done", "failed", "done", "done", "done"]
    out, err = capsys.readouterr()
    assert "trial 2: learning_rate" in err
    assert "1 of its 2 points have failed" in err
    assert "Trials: 5 done, 1 failed, of 6 by tpe." in out
    with (tmp_path / "results/sweeps/try.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11  # the seed that ended well is in the table
    assert {float(row["learning_rate"]) for row in rows} == {trial.settings[RATE] for trial in trials}
    assert not search.run_search(Project(tmp_path), make(6), 2)


def test_settings_that_do_not_go_together_fail_alone(tmp_path, install, monkeypatch, capsys):
    install(Machine())
    first = SearchStudy(Project(tmp_path), make(3)).take(1)[0].settings

    def picky(root: Path, sweep: Sweep, combinations: Any) -> list[Point]:
        combinations = list(combinations)
        if combinations[0][0] == first:
            raise ParameterError("these two do not go together")
        return test_trials.stand_in(root, sweep, combinations)

    monkeypatch.setattr(points, "points", picky)
    assert search.run_search(Project(tmp_path), make(3), 2)
    assert [trial.state for trial in done(tmp_path, make(3))] == ["failed", "done", "done"]
    assert "do not go together" in capsys.readouterr().err


def test_a_metric_that_no_point_has_is_said_after_the_first(tmp_path, install):
    machine = install(Machine(metric="top1"))
    with pytest.raises(ParameterError, match="has no top5 of rotation-knn"):
        search.run_search(Project(tmp_path), make(6, metric="top5"), 2)
    assert len(machine.calls) == 1


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_project(tmp_path)
    parameters = yaml.safe_load((root / "params.yaml").read_text())
    parameters["training"]["weight_decay"] = 0.05
    (root / "params.yaml").write_text(yaml.safe_dump(parameters))
    (root / "sweeps").mkdir()
    content = {"search": {"trials": 4, "space": SPACE}, "seeds": [0, 1], "targets": ["rotation-knn"]}
    content["metric"] = {"run": "rotation", "protocol": "knn"}
    (root / "sweeps/try.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(root)
    return root


def covey(*words: str) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


def test_the_command_shows_the_space_the_trials_and_the_best(project, install):
    install(Machine())
    shown = covey("sweep", "try", "--dry-run")
    assert shown.exit_code == 0
    assert "training.learning_rate  0.0001 to 0.1, on a log scale" in shown.output
    assert "Trials: none yet, of 4 by tpe." in shown.output
    assert not (project / ".covey/sweeps/searches").exists()
    ended = covey("sweep", "try", "--jobs", "2")
    assert ended.exit_code == 0, ended.output
    assert "Trials: 4 done, of 4 by tpe." in ended.output
    assert "results/sweeps/try.csv" in ended.output.replace("\n", "")
    best = max(done(project, sweeps.load(Project(project), "try")), key=lambda trial: trial.value or 0.0)
    lines = ended.output.splitlines()
    first = lines[next(number for number, line in enumerate(lines) if line.startswith("best ")) + 1]
    assert first.startswith(f"learning_rate {best.settings[RATE]}, weight_decay {best.settings[DECAY]} ")
    assert f"{best.value:.4g}" in first
    assert " to " in first  # the interval over its two seeds
    assert first in covey("sweep", "try", "--dry-run").output


def test_a_bad_search_is_one_line(project):
    path = project / "sweeps/try.yaml"
    path.write_text(path.read_text().replace("trials: 4", "trials: 0"))
    refused = covey("sweep", "try")
    assert refused.exit_code == 2
    assert "search.trials is 0; it must be at least 1." in refused.output
