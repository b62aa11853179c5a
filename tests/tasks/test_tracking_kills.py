"""MLflow's records against a real SQLite file, with processes that are really killed.

MLflow is imported once, here; what has to die is forked off, as a stage is by the fork server.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tasks.project.project import Project
from tasks.tracking import pipeline_run
from tasks.tracking.journal import Journal
from tests.tasks.records import assert_exact, execute, fork, kill_after, opened, outcome, stage


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
        closed = pipeline_run.close_dead(Project(root))
        assert len(closed) <= 1
        assert execute(root, "SELECT count(*) FROM runs WHERE status = 'RUNNING' OR end_time IS NULL") == [(0,)]
        assert pipeline_run.close_dead(Project(root)) == []
    run, journal = opened(root), Journal(root / "work" / "abc" / "journal.jsonl")
    run.sync(journal)
    run.finish({})
    expected = {(entry.step, float(entry.step)) for entry in journal.read()}
    assert len(expected) > 1
    client = run.client
    for name in ("value0", "value499"):
        assert sorted((m.step, m.value) for m in client.get_metric_history(run.run_id, name)) == sorted(expected)
    assert execute(root, "SELECT count(*), min(status) FROM runs") == [(1, "FINISHED")]
