"""Processes that can die and a stage that records itself: for the tests of what MLflow keeps."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tasks.process.files import whole_file
from tasks.project.project import Project
from tasks.tracking import server, stage_run
from tasks.tracking.journal import Journal

WRITES = ("create_run", "log_batch", "log_artifact", "log_dict", "update_run", "set_terminated")
STEPS = 2


def execute(root: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(server.database(Project(root)))) as connection, connection:
        return connection.execute(query).fetchall()


def fork(function: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def outcome(pid: int) -> int:
    """0 for success, 1 for an exception, -9 for a kill."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def opened(root: Path, key: str = "abc", **changes: Any) -> stage_run.StageRun:
    arguments: dict[str, Any] = {
        "stage": "pretrain@world-rotation",
        "work": root / "work" / key,
        "parameters": {"epochs": 3, "rate": {"start": 0.1}},
        "inputs": {"data/world/train.images.npy": "f00"},
    }
    return stage_run.open_run(Project(root), key=key, **(arguments | changes))


def stage(root: Path, key: str) -> None:
    """What a stage does: journal, checkpoint, sync, and at last finish; from the checkpoint on, if there is one."""
    work = root / "work" / key
    journal, checkpoint, output = Journal(work / "journal.jsonl"), work / "checkpoint", work / "training.json"
    done = int(checkpoint.read_text()) if checkpoint.exists() else -1
    journal.cut(done)
    run = opened(root, key)
    for step in range(done + 1, STEPS):
        journal.append(step, {"loss": 1 / (step + 1), "accuracy": step / 10})
        with whole_file(checkpoint) as temporary:
            temporary.write_text(str(step))
        run.sync(journal)
    output.write_text("{}")
    run.finish({"seconds": time.monotonic()}, [output])


def assert_exact(root: Path, key: str) -> None:
    """One FINISHED run of the key, each value once, nothing left RUNNING."""
    client = server.connect(Project(root), server.local_uri(Project(root)))
    runs = client.search_runs(["1"], f"tags.`covey.key` = '{key}'")
    assert [run.info.status for run in runs] == ["FINISHED"]
    run_id = runs[0].info.run_id
    history = {name: client.get_metric_history(run_id, name) for name in ("loss", "accuracy", "seconds")}
    assert [(m.step, m.value) for m in history["loss"]] == [(0, 1.0), (1, 1 / 2)]
    assert [(m.step, m.value) for m in history["accuracy"]] == [(0, 0.0), (1, 0.1)]
    assert len(history["seconds"]) == 1
    assert [file.path for file in client.list_artifacts(run_id)] == ["training.json"]
    assert runs[0].data.params == {"epochs": "3", "rate.start": "0.1"}
    assert not server.running(Project(root))


def kill_after(event: int) -> None:
    """Has this process killed at once after its n-th write: to MLflow, or of a file taking its name."""
    from mlflow import MlflowClient

    left = event

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            nonlocal left
            result = function(*arguments, **keywords)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapper

    for name in WRITES:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
    os.replace = counted(os.replace)
