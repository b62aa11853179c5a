"""MLflow's records against a real SQLite file, with processes that are really killed.

MLflow is imported once, here; what has to die is forked off, as a stage is by the fork server.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks import labels, mlflow_store, tracking
from tasks.journal import Journal
from tasks.store import whole_file
from tests.tasks.test_mlflow_store import closed_port

WRITES = ("create_run", "log_batch", "log_artifact", "log_dict", "update_run", "set_terminated")
STEPS = 2


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.getbasetemp() / "template"  # shared with the modules that import this fixture
    root.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.initialise(root)
    return mlflow_store.database(root)


@pytest.fixture
def root(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a database; making one takes seconds, so it is copied and told where it is."""
    for name in ("MLFLOW_TRACKING_URI", "COVEY_PARENT_RUN", "COVEY_PREFECT_RUN", "PREFECT__FLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mlflow_store, "_said", set())
    path = mlflow_store.database(tmp_path)
    path.parent.mkdir()
    shutil.copy(template, path)
    execute(tmp_path, f"UPDATE experiments SET artifact_location = '{mlflow_store._artifacts(tmp_path)}'")
    return tmp_path


def execute(root: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(mlflow_store.database(root))) as connection, connection:
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


def opened(root: Path, key: str = "abc", **changes: Any) -> tracking.StageRun:
    arguments: dict[str, Any] = {
        "stage": "pretrain@world-rotation",
        "work": root / "work" / key,
        "parameters": {"epochs": 3, "rate": {"start": 0.1}},
        "inputs": {"data/world/train.images.npy": "f00"},
    }
    return tracking.open_run(root, key=key, **(arguments | changes))


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
    client = mlflow_store.connect(root, mlflow_store.local_uri(root))
    runs = client.search_runs(["1"], f"tags.`covey.key` = '{key}'")
    assert [run.info.status for run in runs] == ["FINISHED"]
    run_id = runs[0].info.run_id
    history = {name: client.get_metric_history(run_id, name) for name in ("loss", "accuracy", "seconds")}
    assert [(m.step, m.value) for m in history["loss"]] == [(0, 1.0), (1, 1 / 2)]
    assert [(m.step, m.value) for m in history["accuracy"]] == [(0, 0.0), (1, 0.1)]
    assert len(history["seconds"]) == 1
    assert [file.path for file in client.list_artifacts(run_id)] == ["training.json"]
    assert runs[0].data.params == {"epochs": "3", "rate.start": "0.1"}
    assert not mlflow_store.running(root)


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


def test_a_kill_after_any_write_leaves_one_exact_run(root: Path) -> None:
    event, killed = 0, True
    while killed:
        event += 1
        key = f"kill{event}"

        def dies(event: int = event, key: str = key) -> None:
            kill_after(event)
            stage(root, key)

        code = outcome(fork(dies))
        assert code in (0, -signal.SIGKILL)
        killed = code != 0
        if killed:
            stage(root, key)
        assert_exact(root, key)
    assert event > 12  # the sweep saw all writes: cut, run, note, texts, two steps of three each, the end
    assert execute(root, "SELECT count(*) FROM runs") == [(event,)]


def test_a_kill_at_any_moment_and_close_dead(root: Path) -> None:
    def dies() -> None:
        run, journal = opened(root), Journal(root / "work" / "abc" / "journal.jsonl")
        for step in range(len(journal.read()), 10_000):
            journal.append(step, {f"value{number}": float(step) for number in range(500)})
            run.sync(journal)

    path = root / "work" / "abc" / "journal.jsonl"
    for entries, seconds in ((2, 0.02), (4, 0.05)):
        pid = fork(dies)
        deadline = time.monotonic() + 60
        while not path.exists() or path.read_bytes().count(b"\n") < entries:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(seconds)  # somewhere in the next write or batch
        os.kill(pid, signal.SIGKILL)
        assert outcome(pid) == -signal.SIGKILL
        closed = tracking.close_dead(root)
        assert len(closed) <= 1
        assert execute(root, "SELECT count(*) FROM runs WHERE status = 'RUNNING' OR end_time IS NULL") == [(0,)]
        assert tracking.close_dead(root) == []
    run, journal = opened(root), Journal(root / "work" / "abc" / "journal.jsonl")
    run.sync(journal)
    run.finish({})
    expected = {(entry.step, float(entry.step)) for entry in journal.read()}
    assert len(expected) > 1
    client = run.client
    for name in ("value0", "value499"):
        assert sorted((m.step, m.value) for m in client.get_metric_history(run.run_id, name)) == sorted(expected)
    assert execute(root, "SELECT count(*), min(status) FROM runs") == [(1, "FINISHED")]


def test_identical_rows_are_dropped_by_the_store(root: Path) -> None:
    run, journal = opened(root), Journal(root / "work" / "abc" / "journal.jsonl")
    for step in range(4):
        journal.append(step, {"loss": math.nan if step == 1 else float(step), "rate": math.inf})
    run.sync(journal)
    (run.work / "mlflow_sent").unlink()
    journal.append(4, {"loss": 4.0, "rate": 0.0})
    run.sync(journal)
    for name in ("loss", "rate"):
        assert [m.step for m in run.client.get_metric_history(run.run_id, name)] == [0, 1, 2, 3, 4]


def test_eight_processes_write_at_once_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with no database: they also race to make it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def writes(number: int) -> None:
        tracking.initialise(tmp_path)
        run, journal = opened(tmp_path, f"key{number}"), Journal(tmp_path / "work" / f"key{number}" / "journal.jsonl")
        for step in range(6):
            journal.append(step, {f"value{name}": float(step) for name in range(20)})
            run.sync(journal)
        run.finish({"seconds": 1.0})

    pids = [fork(lambda number=number: writes(number)) for number in range(8)]  # type: ignore[misc]
    assert [outcome(pid) for pid in pids] == [0] * 8
    assert execute(tmp_path, "SELECT count(*) FROM metrics") == [(8 * (6 * 20 + 1),)]
    assert execute(tmp_path, "SELECT count(*) FROM runs WHERE status = 'FINISHED'") == [(8,)]
    assert execute(tmp_path, "SELECT name FROM experiments WHERE experiment_id > 0") == [("covey",)]
    assert [path.name for path in mlflow_store.database(tmp_path).parent.glob("*mlflow.db*")] == ["mlflow.db"]


def test_a_resumed_run_keeps_its_parameters_and_forgets_its_failure(root: Path) -> None:
    first = opened(root, tags={"threads": "2"})
    first.fail("no space left on the disk")
    run = first.client.get_run(first.run_id)
    assert (run.info.status, run.data.tags["covey.failure"]) == ("FAILED", "no space left on the disk")
    again = opened(root, tags={"threads": "8"}, parameters={"epochs": 4, "width": 16})
    assert again.run_id == first.run_id
    run = again.client.get_run(again.run_id)
    assert run.info.status == "RUNNING"
    assert "covey.failure" not in run.data.tags
    assert run.data.tags["threads"] == "8"
    assert run.data.params == {"epochs": "3", "rate.start": "0.1", "width": "16"}
    again.killed()
    assert again.client.get_run(again.run_id).info.status == "KILLED"


def test_tags_say_what_and_for_whom(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_PARENT_RUN", "cafe")
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "flow")
    inputs = {f"data/a@{number:03}{'/long' * 60}": str(number) for number in range(60)} | {"a": "1"}
    run = opened(root, inputs=inputs)
    run = run.client.get_run(run.run_id)
    tags = run.data.tags
    assert run.info.run_name == tags["covey.stage"] == "pretrain@world-rotation"
    assert (tags["covey.key"], tags["covey.commit"], tags["covey.prefect_run"]) == ("abc", "none", "flow")
    assert (tags["mlflow.parentRunId"], tags["covey.input.a"]) == ("cafe", "1")
    assert len([name for name in tags if name.startswith("covey.input.")]) == labels.INPUT_TAGS
    assert Path(f"{run.info.artifact_uri.removeprefix('file://')}/inputs.json").exists()


def test_a_deleted_run_or_work_folder_starts_a_new_run_with_the_whole_curve(root: Path) -> None:
    stage(root, "abc")
    first = opened(root)
    first.client.delete_run(first.run_id)
    second, journal = opened(root), Journal(root / "work" / "abc" / "journal.jsonl")
    second.sync(journal)
    assert second.run_id != first.run_id
    assert len(second.client.get_metric_history(second.run_id, "loss")) == STEPS


def test_a_living_owner_keeps_its_run(root: Path) -> None:
    first = opened(root)
    other = opened(root, work=root / "elsewhere")
    assert other.run_id != first.run_id
    assert tracking.close_dead(root) == []


def test_a_pipelines_run(root: Path) -> None:
    run_id = tracking.start_pipeline_run(root, "covey run", {"mode": "all"})
    child = opened(root, parent=run_id)
    assert child.client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == run_id
    tracking.finish_pipeline_run(root, run_id, "FAILED")
    assert child.client.get_run(run_id).info.status == "FAILED"

    def dies() -> None:
        tracking.start_pipeline_run(root, "covey run")
        os.kill(os.getpid(), signal.SIGKILL)

    assert outcome(fork(dies)) == -signal.SIGKILL
    (closed,) = tracking.close_dead(root)
    assert child.client.get_run(closed).info.status == "KILLED"


def test_a_restored_stage_is_recorded_once_also_after_kills(root: Path) -> None:
    def record() -> str:
        return tracking.record_restored(root, "report", "r1", {"k": 2}, {"accuracy": 0.5}, {"from": "run cache"})

    for event in (1, 2, 3):

        def dies(event: int = event) -> None:
            kill_after(event)
            record()

        assert outcome(fork(dies)) == -signal.SIGKILL
    assert record() == record()
    ((run_id, status),) = execute(root, "SELECT run_uuid, status FROM runs")
    assert status == "FINISHED"
    assert execute(root, "SELECT key, value FROM metrics") == [("accuracy", 0.5)]
    assert execute(root, f"SELECT value FROM tags WHERE key = 'covey.restored' AND run_uuid = '{run_id}'") == [
        ("true",)
    ]
    stage(root, "trained")
    trained = tracking.record_restored(root, "pretrain", "trained", {}, {})
    assert execute(root, f"SELECT value FROM tags WHERE key = 'covey.key' AND run_uuid = '{trained}'") == [("trained",)]
    assert execute(root, "SELECT count(*) FROM runs") == [(2,)]


def test_a_server_that_is_down_is_replaced_by_the_local_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = closed_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run = opened(root)
    assert run.uri == mlflow_store.local_uri(root)
    opened(root)
    database = mlflow_store.database(root)
    assert capsys.readouterr().err == f"MLflow server {uri} does not answer; recording in {database} instead\n"
    stage(root, "abc")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert_exact(root, "abc")


def test_a_server_that_goes_down_costs_no_training(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, journal = opened(root), Journal(root / "work" / "abc" / "journal.jsonl")
    run.uri = closed_port()
    for step in range(3):
        journal.append(step, {"loss": float(step)})
        run.sync(journal)
    assert capsys.readouterr().err.count("stopped answering") == 1
    run.fail("says so and raises nothing")
    run.finish({"seconds": 1.0})
    assert run.uri == mlflow_store.local_uri(root)
    assert [m.value for m in run.client.get_metric_history(run.run_id, "loss")] == [0.0, 1.0, 2.0]
    assert run.client.get_run(run.run_id).info.status == "FINISHED"


def test_a_missing_artifact_is_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pretrain@world-rotation: .*absent\.png is to be recorded"):
        opened(root).finish({}, [root / "absent.png"])


def test_opening_and_finishing_is_quick(root: Path) -> None:
    times = []
    for number in range(3):
        start = time.process_time()
        opened(root, f"quick{number}").finish({"seconds": 1.0})
        times.append(time.process_time() - start)
    assert min(times) < 0.5


def test_the_import_is_quick_and_brings_in_nothing_slow() -> None:
    program = """
import sys, time
start = time.process_time()
import tasks.tracking
assert time.process_time() - start < 0.15, time.process_time() - start
assert "mlflow" not in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=Path(__file__).parents[2])


def test_no_connection_outlives_a_call_so_a_fork_may_write(root: Path) -> None:
    run = opened(root)
    targets = [os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
    assert [target for target in targets if "mlflow.db" in target] == []
    assert outcome(fork(lambda: run.finish({"seconds": 1.0}))) == 0
    assert run.client.get_run(run.run_id).info.status == "FINISHED"
