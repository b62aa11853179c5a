"""A real Dask cluster of two workers in folders of their own, one of them killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flows.dask import worker
from tasks.project.project import Project
from tasks.staleness import pipeline
from tasks.staleness.reproduce import reproduce
from tasks.staleness.status import stale
from tests.flows.test_dask_engine import STUDY, content, make_repository
from tests.flows.waiting import wait_until


@contextmanager
def cluster(folder: Path, workers: Sequence[str]) -> Iterator[tuple[str, dict[str, subprocess.Popen[bytes]]]]:
    """A scheduler's address, and workers by name: processes that know nothing of this checkout."""
    folder.mkdir()
    note = folder / "scheduler.json"
    started: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str, module: str, *words: str) -> None:
        place = folder / name
        place.mkdir()
        environment = os.environ | {worker.FOLDER: str(place / "work"), "PYTHONPATH": ""}
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", str(note), *words]
        with (folder / f"{name}.log").open("wb") as log:
            started[name] = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)

    try:
        start("scheduler", "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        for name in workers:
            start(name, "dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name)
        wait_until(note.exists)
        yield json.loads(note.read_text())["address"], started
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def covey(project: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import app; app()", "run", *words],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.exhaustive
def test_a_run_on_two_workers_gives_the_same_bytes_though_one_is_killed(tmp_path):
    study = {**STUDY, "training": {"epochs": 20, "batch_size": 64, "learning_rate": 0.05}}
    here = make_repository(tmp_path / "here", **study)
    away = make_repository(tmp_path / "away", tmp_path / "remote", **study)
    with cluster(tmp_path / "cluster", ["ant", "bee"]) as (address, processes):
        run = covey(away, "extract", "--engine", "dask", "--scheduler", address)

        def trains() -> str | None:
            assert run.poll() is None, run.communicate()
            folder = tmp_path / "cluster"
            journals = (path for path in folder.rglob("journal.jsonl") if "pretrain@rotation" in path.parts)
            return next((path.relative_to(folder).parts[0] for path in journals), None)

        victim = str(wait_until(trains, 900))
        processes[victim].send_signal(signal.SIGKILL)
        told, _ = run.communicate(timeout=1800)
        survivor = ({"ant", "bee"} - {victim}).pop()
    assert run.returncode == 0, told
    assert "done     pretrain@rotation" in told
    assert f"(ran on {survivor})" in told
    names = [
        name for name, stage in pipeline.graph(Project(here)).items() if stage.kind in ("prepare", "train", "extract")
    ]
    assert [reproduce(Project(here), name) for name in names] == ["ran"] * len(names)
    assert content(away, "data", "runs") == content(here, "data", "runs")
    assert stale(Project(away), pipeline.graph(Project(away)), names) == {}
    with closing(sqlite3.connect(away / ".covey" / "mlflow.db")) as records:
        finished = {name for (name,) in records.execute("SELECT name FROM runs WHERE status = 'FINISHED'")}
    assert set(names) - {"code"} <= finished
