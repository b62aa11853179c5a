"""`covey serve` with a real Prefect server: missed times, kills and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.flows.waiting import PATIENCE, wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
SITE = """
import json, os
if "STAND_IN" in os.environ:
    from contextlib import nullcontext
    from tests.flows import stand_in
    from tasks.stage import fork_server
    stand_in.install()
    stand_in.replace(fork_server, "running", lambda *_, **__: nullcontext({}))
    stand_in.PARAMETERS["schedules"] = json.loads(os.environ["STAND_IN"])
"""


class Serving:
    """A `covey serve` in a process of its own, on the stand-in pipeline."""

    def __init__(self, root: Path, **environment: str) -> None:
        (root / "site").mkdir(exist_ok=True)
        (root / "site" / "sitecustomize.py").write_text(SITE)
        paths = [str(root / "site"), str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
        given = {
            "PYTHONPATH": os.pathsep.join(paths),
            "STAND_IN": json.dumps({"nightly": {"cron": "30 2 * * *", "run": []}}),
        }
        self.root, self.log = root, root / "serve.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from flows.cli import app; app(['serve'])"],
                cwd=root,
                env=os.environ | given | environment,
                stdout=output,
                stderr=output,
            )
        self.wait_for("Ctrl-C stops it")

    def wait_for(self, words: str) -> None:
        def said() -> bool:
            text = self.log.read_text()
            assert self.process.poll() is None, text
            return words in text

        wait_until(said, 300)

    def create_run(self, state: str = "") -> None:
        """A run of nightly, as the page's button makes it, or far in the future."""
        code = f"""
from datetime import timedelta
from prefect.client.orchestration import get_client
from prefect.states import Scheduled
from prefect.types._datetime import now
with get_client(sync_client=True) as client:
    deployment = client.read_deployment_by_name("covey-schedule/nightly").id
    {state or "client.create_flow_run_from_deployment(deployment)"}
"""
        address = next(line.split()[1] for line in self.log.read_text().splitlines() if line.startswith("Prefect "))
        environment = os.environ | {"PREFECT_API_URL": address.removesuffix("/deployments") + "/api"}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)

    def kill(self) -> None:
        """kill -9, and a look that all that it had started ends too."""
        started = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        engines = [child for child in started if "flows" in " ".join(words(child))]
        _, left = psutil.wait_procs(engines, timeout=PATIENCE)
        assert not left


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def ask(root: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(root / ".covey" / "prefect" / "prefect.db")) as connection, connection:
        return connection.execute(query).fetchall()


LATE = """
    for days in (1, 2, 3):
        client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=now() + timedelta(days=days)))
"""


FOUR_DAYS_BACK = (
    """UPDATE flow_run_state SET state_details = json_set(state_details, '$.scheduled_time', '2026-01-01T00:00:00Z')
    WHERE id IN (SELECT state_id FROM flow_run WHERE state_type = 'SCHEDULED' AND auto_scheduled = 0)""",
    """UPDATE flow_run SET auto_scheduled = 1,
    next_scheduled_start_time = strftime('%Y-%m-%d %H:%M:%f000', julianday(next_scheduled_start_time) - 4)
    WHERE state_type = 'SCHEDULED' AND auto_scheduled = 0""",
)
"""What turns the runs of the coming days into runs that the clock had planned for the last ones."""


@pytest.mark.exhaustive
def test_missed_times_are_made_good_once_and_a_killed_service_leaves_nothing_behind(tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    first = Serving(tmp_path, STAND_IN_SECONDS="600")
    first.create_run(LATE.strip())
    first.create_run()
    first.wait_for("nightly: covey run")
    first.create_run()
    first.wait_for("Skipped")
    wait_until((tmp_path / "calls.txt").exists)
    first.kill()
    assert ask(tmp_path, "SELECT count(*) FROM flow_run WHERE state_name = 'Running'") != [(0,)]
    for update in FOUR_DAYS_BACK:
        ask(tmp_path, update)
    second = Serving(tmp_path)
    try:
        second.wait_for("nightly: Completed: 8 stages brought up to date.")
        states = dict(ask(tmp_path, "SELECT state_name, count(*) FROM flow_run GROUP BY state_name"))
        told = [line for (line,) in ask(tmp_path, "SELECT message FROM log ORDER BY timestamp")]
    finally:
        second.process.send_signal(signal.SIGINT)
        second.process.wait(PATIENCE)
    assert second.process.returncode == 0
    assert (states["Missed"], states["Skipped"]) == (2, 1)
    assert states["Completed"] == 2  # of the schedule, and of the pipeline within
    assert "Running" not in states
    assert states["Crashed"] == 2
    assert "8 of 8 stages to run" in told
