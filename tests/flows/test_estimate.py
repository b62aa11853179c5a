"""The forecast of a run: its clock, its memory, its words; and `covey run --dry-run` on a real project."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dvc.repo  # noqa: F401 - its logger keeps the stream that it finds on import
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.run import estimate, rehearsal
from flows.run.estimate import Forecast, schedule
from flows.run.plan import Plan
from tasks.estimates.earlier import Estimate
from tasks.process.amounts import size
from tasks.project.project import Project
from tasks.stage import costs
from tasks.stage.apart import CallFailed
from tasks.staleness import code_hash, pipeline, status
from tests.graphs import stage
from tests.tasks.conftest import edit, make_project

#     prepare (2 s) -> a (10 s) -> report (1 s);  b (4 s), c (4 s) -> report
GRAPH = {
    "prepare": stage("prepare", "prepare"),
    **{name: stage(name, "train", ("prepare",)) for name in ("a", "b", "c")},
    "report": stage("report", "report", ("a", "b", "c")),
}
SECONDS = {"prepare": 2.0, "a": 10.0, "b": 4.0, "c": 4.0, "report": 1.0}
WORK = Plan(GRAPH, tuple(GRAPH), frozenset(), 5)
TIMES = {name: Estimate(seconds, 100.0) for name, seconds in SECONDS.items()}
FIRST = {"prepare": 5.0, "a": 4.0, "b": 3.0, "c": 2.0, "report": 1.0}


@pytest.mark.parametrize(
    ("slots", "jobs", "seconds", "memory"),
    [
        (1, None, 21.0, 100.0),  # one after the other
        (2, None, 13.0, 200.0),  # b and c beside a
        (3, None, 13.0, 300.0),  # the longest path
        (3, 1, 21.0, 100.0),
    ],
)
def test_the_clock_by_hand(slots, jobs, seconds, memory):
    assert schedule(WORK, TIMES, FIRST, slots, 0, jobs) == (seconds, memory)


def test_what_needs_a_gpu_waits_for_one():
    """Two trainings share the only GPU: 2 + 10 + 4 + 4 + 1."""
    work = Plan(GRAPH, tuple(GRAPH), frozenset(), 5, on_device=frozenset("abc"))
    assert schedule(work, TIMES, FIRST, 8, 1, None)[0] == 21.0


def test_what_is_not_known_takes_no_time_and_parents_that_do_not_run_are_not_waited_for():
    work = Plan(GRAPH, ("a", "report"), frozenset(), 5)
    assert schedule(work, {"a": None, "report": Estimate(1.0)}, FIRST, 2, 0, None) == (1.0, None)


def forecast(**changes) -> Forecast:
    given = {"stages": TIMES, "restored": frozenset(), "seconds": 373.0, "memory": 9e8, "disk": 3.1e8, "free": 10**12}
    return Forecast(**{**given, "places": "2 cores", **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "about 6 min on 2 cores; at most 900 MB of memory, 310 MB of disk."),
        ({"seconds": 21.4, "memory": None, "disk": None}, "about 21 s on 2 cores."),
        ({"stages": {**TIMES, "d": None}, "memory": None, "disk": None, "seconds": 7260.0},
         "about 2 h 01 min on 2 cores, without 1 stage that never ran with these settings."),
        ({"stages": {"d": None}, "memory": None, "disk": None}, "no earlier run tells for how long."),
        ({"restored": frozenset("ab"), "memory": None, "disk": None},
         "about 6 min on 2 cores; 2 come from the cache."),
        ({"memory": None, "free": 10**8},
         "about 6 min on 2 cores; 310 MB of disk. The disk has only 100 MB free: it will not fit; `covey gc` frees "
         "what is not needed."),
    ],
)  # fmt: skip
def test_the_line(changes, words):
    assert str(forecast(**changes)) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (12_300, "12 kB"), (1_249_000_000, "1.2 GB")])
def test_sizes_as_text(count, words):
    assert size(count) == words


def test_no_run_fails_by_its_estimate_and_the_error_is_said(tmp_path, monkeypatch):
    """Of a whole forecast; the trace is in a log."""

    def fail(*_, **__):
        raise KeyError("seconds")

    monkeypatch.setattr(estimate, "forecast", fail)
    told = estimate.of_run(Project(tmp_path), WORK, None, {})
    assert told == (
        ". What they take could not be estimated (KeyError: 'seconds'; .covey/logs/estimate.log has the trace)."
    )
    assert "Traceback" in (tmp_path / ".covey" / "logs" / "estimate.log").read_text()


def contents(root: Path) -> dict[str, str]:
    """Every file's hash, but for Covey's and DVC's own memories."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    kept = [path for path in files if path.relative_to(root).parts[0] not in (".covey", ".dvc")]
    return {str(p): hashlib.md5(p.read_bytes()).hexdigest() for p in kept if "__pycache__" not in p.parts}


def test_a_dry_run_lists_what_would_run_tries_trainings_and_changes_no_file(
    tmp_path,
    monkeypatch,
    capsys,
    shared_servers: str,  # noqa: ARG001
):
    (tmp_path / "project").mkdir()
    root = make_project(tmp_path / "project")
    monkeypatch.chdir(root)
    before = contents(root)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["run", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert contents(root) == before
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "(trial)" in lines["pretrain@rotation"]
    assert "(trial)" in lines["clusterfit@rotation_cf"]
    assert "not known" in lines["transfer@rotation-knn"]
    assert "10 of 11 stages to run: about" in done.stdout
    # 288 samples of 3 x 32 x 32 bytes, and 16 beside each
    assert size(288 * (3 * 32 * 32 + 16)) in lines["prepare"]
    parameters = Project(root).parameters
    other = {**parameters, "data": {**parameters["data"], "name": "other", "train": 128}}
    rehearsal.rehearse(Project.given(root, other), ["extract"])
    told = capsys.readouterr().out
    assert "another data set is selected" in told
    assert size(224 * (3 * 32 * 32 + 16)) in told
    assert contents(root) == before
    edit(root, pretrain={"rotation": {"method": "rotation", "epochs": "ten"}})
    assert CliRunner().invoke(app, ["run", "--dry-run"]).exit_code == 2


def rehearsed(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a dry run of one training says, of which nothing is tried; a line wherever the table broke one."""
    capsys.readouterr()
    rehearsal.rehearse(Project(root), ["pretrain"])
    return " ".join(capsys.readouterr().out.split())


def stale(root: Path) -> dict[str, list[str]]:
    """What a run would do, with code.json written as the stage `code` does."""
    graph = pipeline.graph(Project(root))
    return status.stale(Project(root), graph, list(graph), bring_code=lambda project: code_hash.write(project.root))


@pytest.fixture
def untried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which a dry run tries nothing."""
    monkeypatch.setattr(rehearsal, "_asked", lambda *_: {})
    monkeypatch.setattr(rehearsal.fork_server, "running", lambda _: nullcontext({}))
    return make_project(tmp_path)


def test_a_stage_whose_cost_cannot_be_told_is_named_and_the_others_are_estimated(untried, capsys, monkeypatch):
    own = costs.work

    def work(parameters, stage, data):
        if stage.startswith("extract@"):
            raise StopIteration
        return own(parameters, stage, data)

    monkeypatch.setattr(costs, "work", work)
    capsys.readouterr()
    rehearsal.rehearse(Project(untried), ["transfer"])
    told = capsys.readouterr().out
    assert "extract@rotation could not be estimated (StopIteration: ; .covey/logs/estimate.log has the trace)." in told
    assert "prepare could not be" not in told
    assert "pretrain@rotation" in told


def test_a_trial_that_fails_is_said(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise CallFailed("no weights")

    monkeypatch.setattr(rehearsal, "call", fail)
    assert rehearsal._asked(Project(tmp_path), "tasks.checks.trial:of_training") == {}
    assert "this could not be estimated: no weights" in capsys.readouterr().err


def reasons(root: Path, parameters: dict[str, Any]) -> dict[str, list[str]]:
    """Stage -> why a run with these parameters would do it, of a project of which DVC finds nothing changed."""
    project = Project.given(root, parameters)
    return rehearsal._planned(project, (), False, code_hash.fingerprints(root, parameters))[1]


def test_a_dry_run_says_what_was_changed(untried, monkeypatch):
    monkeypatch.setattr(status, "_ask", lambda *_: {})
    plain = Project(untried).parameters
    assert set(reasons(untried, plain)) <= {"report"}
    larger = reasons(untried, {**plain, "data": {**plain["data"], "size": 64, "train": 128}})
    assert larger.pop("report") == ["params.yaml data.size new", "params.yaml data.train modified"]
    assert larger == {"prepare": ["params.yaml data.size new", "params.yaml data.train modified"]}
    block = {"rotation": {"method": "rotation", "epochs": 2}, "other": {"method": "simclr"}}
    changed = reasons(untried, {**plain, "pretrain": block})
    assert changed["pretrain@rotation"] == ["params.yaml pretrain.rotation.epochs new"]
    assert changed["extract@other"][0] == "new"
    assert {"prepare", "extract@rotation", "transfer@rotation-knn"}.isdisjoint(changed)
    chosen = reasons(untried, {**plain, "runs": "few", "sets": {"few": ["rotation"]}})
    assert chosen["atlas"] == chosen["report"] == ["params.yaml runs modified", "params.yaml sets.few new"]
    other = reasons(untried, {**plain, "data": {**plain["data"], "name": "photos"}})
    assert set(map(tuple, other.values())) == {("another data set is selected: photos",)}


def test_after_a_dry_run_edited_code_is_still_stale(untried, capsys):
    """The dry run says so itself, and so does what asks after it."""
    stale(untried)
    method = untried / "ssl_models" / "methods" / "rotation.py"
    method.write_text(method.read_text() + "\nMORE = 1\n")
    noted = code_hash.read(untried)
    assert "code.json pretrain.rotation modified" in rehearsed(untried, capsys)
    assert code_hash.read(untried) == noted
    stale(untried)
    assert code_hash.read(untried) == code_hash.fingerprints(untried) != noted


def test_after_a_dry_run_in_a_fresh_clone_the_code_is_written(untried, capsys):
    (untried / "code.json").unlink()
    assert "pretrain@rotation" in rehearsed(untried, capsys)
    assert not (untried / "code.json").exists()
    stale(untried)
    assert code_hash.read(untried) == code_hash.fingerprints(untried)
