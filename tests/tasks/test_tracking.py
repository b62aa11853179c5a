"""MLflow's records against a real SQLite file: what is recorded, for whom, once, and what a lost server costs."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.project.project import Project
from tasks.tracking import keys, pipeline_run, server, stage_run
from tasks.tracking.journal import Journal
from tests.tasks.records import STEPS, assert_exact, execute, fork, kill_after, opened, outcome, stage
from tests.tasks.test_tracking_server import closed_port


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
        server.initialise(Project(tmp_path))
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
    assert [path.name for path in server.database(Project(tmp_path)).parent.glob("*mlflow.db*")] == ["mlflow.db"]


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
    assert len([name for name in tags if name.startswith("covey.input.")]) == keys.INPUT_TAGS
    assert Path(f"{run.info.artifact_uri.removeprefix('file://')}/inputs.json").exists()


def test_a_deleted_run_or_work_folder_starts_a_new_run_with_the_whole_curve(root: Path) -> None:
    stage(root, "abc")
    first = opened(root)
    first.client.delete_run(first.run_id)
    second, journal = opened(root), Journal(root / "work" / "abc" / "journal.jsonl")
    second.sync(journal)
    assert second.run_id != first.run_id
    assert len(second.client.get_metric_history(second.run_id, "loss")) == STEPS


def test_a_pipeline_that_does_not_finish_closes_the_runs_of_stages_that_were_killed(root: Path) -> None:
    def dies() -> None:
        opened(root)
        os.kill(os.getpid(), signal.SIGKILL)

    run_id = pipeline_run.start(Project(root), "everything", {}, os.getpid())
    assert outcome(fork(dies)) == -signal.SIGKILL
    assert server.running(Project(root))
    pipeline_run.finish(Project(root), run_id, "KILLED")
    assert execute(root, "SELECT name, status FROM runs ORDER BY name") == [
        ("everything", "KILLED"),
        ("pretrain@world-rotation", "KILLED"),
    ]


def test_a_pipeline_says_that_its_server_is_lost(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = closed_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    words = pipeline_run.finish(Project(root), "of-the-server", "FINISHED")
    assert words.startswith(f"MLflow server {uri} stopped answering")
    assert str(server.database(Project(root))) in words


def test_a_living_owner_keeps_its_run(root: Path) -> None:
    first = opened(root)
    other = opened(root, work=root / "elsewhere")
    assert other.run_id != first.run_id
    assert pipeline_run.close_dead(Project(root)) == []


def test_a_pipelines_run(root: Path) -> None:
    run_id = pipeline_run.start(Project(root), "covey run", {"mode": "all"}, os.getpid())
    child = opened(root, parent=run_id)
    assert child.client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == run_id
    assert pipeline_run.finish(Project(root), run_id, "FAILED") == ""
    assert child.client.get_run(run_id).info.status == "FAILED"
    assert "does not know" in pipeline_run.finish(Project(root), "nobody", "FAILED")

    def dies() -> None:
        pipeline_run.start(Project(root), "covey run", {}, os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)

    assert outcome(fork(dies)) == -signal.SIGKILL
    (closed,) = pipeline_run.close_dead(Project(root))
    assert child.client.get_run(closed).info.status == "KILLED"


def test_a_restored_stage_is_recorded_once_also_after_kills(root: Path) -> None:
    def record() -> str:
        return stage_run.record_restored(
            Project(root), "report", "r1", {"k": 2}, {"accuracy": 0.5}, {"from": "run cache"}
        )

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
    trained = stage_run.record_restored(Project(root), "pretrain", "trained", {}, {})
    assert execute(root, f"SELECT value FROM tags WHERE key = 'covey.key' AND run_uuid = '{trained}'") == [("trained",)]
    assert execute(root, "SELECT count(*) FROM runs") == [(2,)]


def test_a_server_that_is_down_is_replaced_by_the_local_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = closed_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run = opened(root)
    assert run.uri == server.local_uri(Project(root))
    opened(root)
    database = server.database(Project(root))
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
    assert run.uri == server.local_uri(Project(root))
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


def test_the_import_brings_in_nothing_slow() -> None:
    program = """
import sys
import tasks.tracking
print(*{name.partition(".")[0] for name in sys.modules})
"""
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    imported = subprocess.run(command, check=True, timeout=60, cwd=root, capture_output=True, text=True).stdout.split()
    assert "yaml" in imported
    assert not {"mlflow", "torch", "torchvision", "prefect", "dvc", "sklearn", "pandas", "numpy"} & set(imported)


def test_no_connection_outlives_a_call_so_a_fork_may_write(root: Path) -> None:
    run = opened(root)
    targets = [os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
    assert [target for target in targets if target.startswith(str(root))] == []
    assert outcome(fork(lambda: run.finish({"seconds": 1.0}))) == 0
    assert run.client.get_run(run.run_id).info.status == "FINISHED"
