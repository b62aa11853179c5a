"""A pipeline without DVC, MLflow or torch: eight stages that sleep, or fail as they are told to.

Run as a program it is `covey` on that pipeline: `python -m tests.flows.stand_in run`. Its folder's `faults.json` says
how many attempts of a stage fail; `calls.txt` gets a line for every beginning and end of an attempt.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from flows import command
from flows.run import engine, plan, records, report
from tasks.process.command import run_command
from tasks.project.project import Project
from tasks.settings import params
from tasks.staleness import pipeline
from tasks.staleness.dvc_errors import StageFailed
from tasks.staleness.graph import Stage
from tests.graphs import stage

GRAPH = {
    name: stage(name, kind, parents)
    for name, kind, parents in [
        ("prepare", "prepare", ()),
        ("pretrain@rotation", "train", ("prepare",)),
        ("pretrain@simclr", "train", ("prepare",)),
        ("extract@rotation", "extract", ("prepare", "pretrain@rotation")),
        ("extract@simclr", "extract", ("prepare", "pretrain@simclr")),
        ("transfer@rotation-linear", "transfer", ("extract@rotation",)),
        ("transfer@simclr-linear", "transfer", ("extract@simclr",)),
        ("report", "report", ("transfer@rotation-linear", "transfer@simclr-linear")),
    ]
}
PARAMETERS = {
    "data": {"name": "photos"},
    "pretrain": {"rotation": {}, "simclr": {}},
    "clusterfit": {},
    "transfer": {"linear": {}},
    "targets": {},
    "machine": {"threads": 1},
    "orchestration": {kind: {"retry_delay": 0.2} for kind in ("prepare", "train", "extract", "transfer", "report")},
}
_writing = threading.Lock()


def stale(project: Project, *_: object) -> dict[str, list[str]]:
    """What `stale.json` says, or that everything is."""
    path = project.root / "stale.json"
    return json.loads(path.read_text()) if path.exists() else {name: ["changed"] for name in GRAPH}


def graph(_: Project) -> dict[str, Stage]:
    """The eight stages."""
    return GRAPH


def leave_running(owner: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Running

    from flows.prefect_server.server import OWNER_TAG
    from flows.run.flow import covey

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(covey, name="dead", tags=[OWNER_TAG + owner], state=Running())
        client.set_flow_run_state(run.id, Running(), force=True)


def reproduce(project: Project, name: str, *, environment: Mapping[str, str], force: bool = False, **_: object) -> str:
    """Sleeps in a process group of its own, as a stage does; fails as often as `faults.json` says."""
    root, log = project.root, project.log(name)
    begun = note(root, "begin", name, sorted(environment), force)
    log.write_text(f"{name}: epoch 1, 1,200 images/s\nlast words of {name}\n")
    seconds = os.environ.get("STAND_IN_SECONDS", "0.1")
    if run_command(["sleep", seconds], root, subprocess.DEVNULL, os.environ, None):
        raise StageFailed(name, "was ended", log.read_text(), log)
    note(root, "end", name)
    faults = root / "faults.json"
    if begun <= (json.loads(faults.read_text()).get(name, 0) if faults.exists() else 0):
        raise StageFailed(name, "failed (exit code 1)", log.read_text(), log)
    return "ran"


def note(root: Path, *words: object) -> int:
    """Adds a line to calls.txt; gives the number of lines so far that begin in the same way."""
    line = json.dumps(words)
    with _writing, (root / "calls.txt").open("a+") as file:
        file.write(line + "\n")
        file.flush()
        file.seek(0)
        return sum(json.loads(old)[:2] == list(words[:2]) for old in file)


def replace(target: object, name: str, value: object) -> None:
    setattr(target, name, value)


def install(replace=replace) -> None:
    """Puts the stand-ins where flows looks for the real ones; `monkeypatch.setattr` undoes it after a test."""
    replace(params, "read", lambda *_: PARAMETERS)
    replace(params, "check_parameters", lambda *_: None)
    replace(pipeline, "graph", graph)
    replace(plan, "stale", stale)
    replace(engine, "reproduce", reproduce)
    replace(command, "call", call)
    replace(records, "call", call)
    replace(report, "call", call)


def call(project: Project, function: str, *arguments: object) -> object:
    """What would be carried out apart. If `dead.json` names a process, a flow run of that one is first left Running."""
    if function.endswith(":start"):
        dead = project.root / "dead.json"
        if dead.exists():
            leave_running(dead.read_text())
        return "parent-run"
    if function.endswith(":finish"):
        note(project.root, "mlflow", arguments[-1])
    return None


if __name__ == "__main__":
    from contextlib import nullcontext

    from flows.cli import app
    from tasks.stage import fork_server

    install()
    replace(fork_server, "running", lambda *_, **__: nullcontext({}))
    app(sys.argv[1:])
