"""Stages on a Dask cluster, without the cluster: what goes to a worker, what comes back, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from flows.command import scheduler_of
from flows.dask import checkout, worker
from flows.dask.engine import WorkerSlots, _self_contained
from tasks.project import paths
from tasks.project.project import Project
from tasks.remote import dvc_remote
from tasks.settings.schema import ParameterError
from tasks.staleness import pipeline
from tasks.staleness.graph import outputs_of
from tasks.staleness.reproduce import reproduce
from tasks.staleness.status import stale
from tests.graphs import stage
from tests.tasks.conftest import ROOT, make_project

AUTHOR = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
STUDY = {"pretrain": {"rotation": {"method": "rotation"}, "random": {"method": "random"}}, "clusterfit": {}}
TINY = {
    "stages": {
        "prepare": {
            "cmd": "mkdir data && cp tasks/project/paths.py data/a",
            "deps": ["tasks/project/paths.py"],
            "outs": ["data"],
        },
        "extract": {
            "cmd": "cat data/a params.yaml > table.csv && cp data/a features",
            "deps": ["data"],
            "params": ["seed"],
            "outs": ["features", {"table.csv": {"cache": False}}],
        },
        "report": {"cmd": "cp photos/b page", "deps": ["photos/b", "features"], "outs": ["page"]},
        "broken": {"cmd": "echo too bad; exit 1", "deps": ["tasks/project/paths.py"], "outs": ["nothing"]},
    }
}


def git(folder: Path, *words: str) -> str:
    environment = os.environ | AUTHOR
    return subprocess.run(
        ["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def commit(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "state")


def make_repository(project: Path, remote: Path | None = None, **changes: object) -> Path:
    """A small project that is committed in git, with a DVC remote if one is given."""
    project.mkdir()
    make_project(project, **changes)
    (project / ".dvc" / "config.local").unlink()
    (project / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    if remote is not None:
        remote.mkdir(exist_ok=True)
        config = project / ".dvc" / "config"
        text = config.read_text().replace("[core]", "[core]\n    remote = store")
        config.write_text(f"{text}['remote \"store\"']\n    url = {remote}\n")
    git(project, "init", "--quiet")
    commit(project)
    return project


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A project of four shell commands, one of which fails and one of which reads what is not in git."""
    project = make_repository(tmp_path / "parent", tmp_path / "remote")
    (project / "dvc.yaml").write_text(yaml.safe_dump(TINY))
    (project / ".gitignore").write_text((project / ".gitignore").read_text() + "/photos/\n/features\n/page\n")
    (project / "photos").mkdir()
    (project / "photos" / "b").write_text("a photo")
    commit(project)
    return project


def request_for(project: Path, stage: str, inputs: Sequence[str] = (), **changes: object) -> dict[str, object]:
    from tasks.staleness import code_hash

    origin = checkout.read(Project(project), outputs_of(pipeline.graph(Project(project))))
    request = {
        "project": origin.project,
        "sources": origin.places,
        "commit": origin.commit,
        "prefix": origin.prefix,
        "parameters": (project / "params.yaml").read_text(),
        "code": code_hash.fingerprints(project),
        "remote": dvc_remote.default_remote(Project(project)),
        "versions": worker.versions(),
        "stage": stage,
        "inputs": list(inputs),
        "lock": dvc_remote.read_lock(Project(project)),
        "environment": {},
        "timeout": None,
        "force": False,
    }
    return request | changes


def content(folder: Path, *names: str) -> dict[str, str]:
    """A hash of every file below some folders, by its path."""
    files = [file for name in names for file in sorted((folder / name).rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


# --- one stage, without Dask


@pytest.mark.exhaustive
def test_a_stage_goes_away_and_comes_home(tiny, tmp_path, monkeypatch):
    """Inputs by the remote, outputs by the remote, uncached files in the reply; the second time nothing is at work."""
    monkeypatch.setenv(worker.FOLDER, str(tmp_path / "worker"))
    reproduce(Project(tiny), "prepare")
    dvc_remote.push(Project(tiny), ["prepare"])
    with (tiny / "params.yaml").open("a") as file:
        file.write("# not in git\n")
    reply = worker.work(request_for(tiny, "extract", ["data"]), lambda: True)
    assert reply["outcome"] == "ran", reply
    assert reply["files"] == {"table.csv": (tiny / "data/a").read_bytes() + (tiny / "params.yaml").read_bytes()}
    assert not (tiny / "features").exists()
    assert not dvc_remote.is_at_hand(Project(tiny), "extract")
    dvc_remote.take_over(Project(tiny), "extract", reply["entry"], reply["files"])
    assert (tiny / "features").read_bytes() == (tiny / "data/a").read_bytes()
    graph = pipeline.graph(Project(tiny))
    assert set(stale(Project(tiny), graph, list(graph))) == {"report", "broken"}
    assert dvc_remote.is_at_hand(Project(tiny), "extract")


def test_a_worker_says_why_it_could_not(tiny, tmp_path, monkeypatch):
    """A stage that fails, work that nobody wants any more, a commit that is nowhere, other versions."""
    monkeypatch.setenv(worker.FOLDER, str(tmp_path / "worker"))
    request = request_for(tiny, "broken")
    failed = worker.work(request, lambda: True)
    assert "exit code" in failed["failed"], failed
    assert "too bad" in failed["log"]
    dropped = worker.work(request, lambda: False)
    assert "ended on the worker" in dropped["failed"]
    nowhere = worker.work({**request, "commit": "0" * 40}, lambda: True)
    assert "push it to where the workers can fetch it" in nowhere["tail"]
    assert not nowhere["final"]
    older = worker.work({**request, "versions": {**worker.versions(), "torch": "1.0"}}, lambda: True)
    assert "this worker has torch" in older["failed"]
    assert older["final"]


def test_other_code_is_refused_by_name(tiny, tmp_path, monkeypatch):
    from tasks.staleness import code_hash

    monkeypatch.setenv(worker.FOLDER, str(tmp_path / "worker"))
    other = code_hash.fingerprints(tiny)
    other["pretrain"]["rotation"] = "another"
    refused = worker.work(request_for(tiny, "broken", code=other), lambda: True)
    assert refused["tail"] == "the code of pretrain rotation is not the parent's"
    assert refused["final"]


def test_places_for_work_are_not_shared(tmp_path, monkeypatch):
    monkeypatch.setenv(worker.FOLDER, str(tmp_path))
    with worker._place("project") as first, worker._place("project") as second:
        assert (first.name, second.name) == ("0", "1")
    with worker._place("project") as again:
        assert again == first


def test_what_goes_to_a_worker_needs_nothing_of_this_project(tmp_path):
    from distributed.protocol.pickle import dumps

    (tmp_path / "function").write_bytes(dumps(_self_contained(worker.differences)))
    program = (
        "import pickle, sys; print(pickle.load(open('function', 'rb'))({'python': '2.7'}), 'flows' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ", not 2.7" in done.stdout, done.stderr
    assert done.stdout.strip().endswith("False")


# --- what travels, and what is refused


def test_stages_that_read_what_is_not_in_git_stay(tiny):
    graph = pipeline.graph(Project(tiny))
    origin = checkout.read(Project(tiny), outputs_of(graph))
    assert [name for name in graph if not checkout.travels(graph, name, origin)] == ["report"]
    begun = {"pretrain@begun": stage("pretrain@begun")}
    weights = {"begun": "params.yaml", "another": "../weights.pth"}
    assert checkout.travels(begun, "pretrain@begun", origin, weights)
    assert not checkout.travels(begun, "pretrain@begun", origin, {"begun": "../weights.pth"})
    folder = replace(stage("report"), paths=("metrics/world",), outputs=("page",))
    score = replace(stage("transfer"), outputs=("metrics/world/rotation.json",))
    assert not checkout.travels({"transfer": score, "report": folder}, "report", origin)


def test_what_a_report_writes_beside_its_outputs_may_differ(tiny):
    """A page, the table of costs and the list of models, committed once and written anew by the next report."""
    for path in (paths.REPORT, paths.COST_TABLE, paths.MODELS):
        (tiny / path).parent.mkdir(exist_ok=True)
        (tiny / path).write_text("artifacts: {}\n")
    git(tiny, "add", "--force", "results")
    git(tiny, "commit", "--quiet", "--message", "results")
    assert checkout.read(Project(tiny), ()).holds(paths.MODELS)
    for path in (paths.REPORT, paths.COST_TABLE, paths.MODELS):
        (tiny / path).write_text("artifacts: {a: {path: runs/a}}\n")
    checkout.read(Project(tiny), ())
    (tiny / "results" / "other.csv").write_text("a\n")
    git(tiny, "add", "--force", "results/other.csv")
    with pytest.raises(ParameterError, match=r"differ from it: results/other.csv. Commit"):
        checkout.read(Project(tiny), ())


def test_edits_that_git_does_not_have_are_refused_by_name(tiny):
    written = outputs_of(pipeline.graph(Project(tiny)))
    (tiny / "params.yaml").write_text("seed: 8\n")
    (tiny / "dvc.lock").write_text("")
    (tiny / "table.csv").write_text("an output")
    (tiny / "note.txt").write_text("nobody's business")
    assert checkout.read(Project(tiny), written).commit == git(tiny, "rev-parse", "HEAD").strip()
    (tiny / "tasks" / "project" / "paths.py").write_text("")
    (tiny / "ssl_models" / "methods" / "new.py").write_text("")
    with pytest.raises(ParameterError, match=r"tasks/project/paths.py, ssl_models/methods/new.py. Commit them first"):
        checkout.read(Project(tiny), written)


def test_a_folder_without_git_and_one_without_a_remote_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="git cannot tell the commit"):
        checkout.read(Project(tmp_path), ())
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(ParameterError, match="dvc remote add -d"):
        dvc_remote.default_remote(Project(tmp_path))


def test_engine_and_scheduler_must_fit(monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    assert scheduler_of("local", None) == ""
    assert scheduler_of("dask", "tcp://a:1") == "tcp://a:1"
    for engine, scheduler, message in [
        ("dusk", None, "Did you mean 'dask'"),
        ("local", "tcp://a:1", "--engine dask --scheduler tcp://a:1"),
        ("dask", None, "needs a scheduler"),
    ]:
        with pytest.raises(ParameterError, match=message):
            scheduler_of(engine, scheduler)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://b:2")
    assert scheduler_of("dask", None) == "tcp://b:2"


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    from flows.dask import engine as cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(ParameterError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 within"):
        cluster._connect("tcp://127.0.0.1:9")


def test_the_slots_grow_with_the_cluster_and_tells_when_they_are_closed():
    told: list[str] = []
    slots = WorkerSlots(1, None, lambda: told.append("closed"))
    with slots.hold(device=True):
        slots.grow_to(2)
        with slots.hold(device=True):
            slots.grow_to(1)
            assert slots._free_slots == slots._free_places == 0
    assert slots._free_slots == 2
    slots.close()
    assert told == ["closed"]


# --- dvc.lock


def test_an_entry_is_merged_as_dvc_would_write_it(tiny):
    reproduce(Project(tiny), "prepare")
    before = (tiny / "dvc.lock").read_text()
    entry = yaml.safe_load(before)["stages"]["prepare"]
    dvc_remote.merge(Project(tiny), "prepare", entry)
    assert (tiny / "dvc.lock").read_text() == before
    data = entry["outs"][0]
    wrong = {"cmd": "x", "deps": [{**data, "md5": "0" * 32}], "outs": []}
    with pytest.raises(RuntimeError, match="extract read another data than this project's"):
        dvc_remote.merge(Project(tiny), "extract", wrong)
    assert (tiny / "dvc.lock").read_text() == before


# --- the whole
