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

from tasks.settings import params
from tasks.staleness import graph as pipeline
from tasks.staleness.graph import Stage
from tasks.tracking import stage_run

GRAPH = {
    name: Stage(name, kind, parents, (), ())
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
    "pretrain": {"rotation": {}, "simclr": {}},
    "clusterfit": {},
    "transfer": {"linear": {}},
    "targets": {},
    "machine": {"threads": 1},
    "orchestration": {kind: {"retry_delay": 0.2} for kind in ("prepare", "train", "extract", "transfer", "report")},
}
_writing = threading.Lock()


def stale(root: Path, names: object = None) -> dict[str, list[str]]:  # noqa: ARG001
    """What `stale.json` says, or that everything is."""
    path = root / "stale.json"
    return json.loads(path.read_text()) if path.exists() else {name: ["changed"] for name in GRAPH}


def graph(root: Path) -> dict[str, Stage]:
    """The eight stages. Within a flow, if `dead.json` names a process, that one's flow run is first left Running."""
    dead = root / "dead.json"
    if dead.exists() and "PREFECT_API_URL" in os.environ:
        leave_running(dead.read_text())
    return GRAPH


def leave_running(owner: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Running

    from flows.prefect_server.server import OWNER_TAG
    from flows.run.flow import bring_up_to_date

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(bring_up_to_date, name="dead", tags=[OWNER_TAG + owner], state=Running())
        client.set_flow_run_state(run.id, Running(), force=True)


def reproduce(root: Path, name: str, *, environment: Mapping[str, str], force: bool = False, **_: object) -> str:
    """Sleeps in a process group of its own, as a stage does; fails as often as `faults.json` says."""
    log = root / ".covey" / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = note(root, "begin", name, sorted(environment), force)
    log.write_text(f"{name}: epoch 1, 1,200 images/s\nlast words of {name}\n")
    seconds = os.environ.get("STAND_IN_SECONDS", "0.1")
    subprocess.run(["sleep", seconds], start_new_session=True, check=True)
    note(root, "end", name)
    faults = root / "faults.json"
    if begun <= (json.loads(faults.read_text()).get(name, 0) if faults.exists() else 0):
        raise pipeline.StageFailed(name, "failed (exit code 1)", log.read_text(), log)
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
    replace(params, "load", lambda *_: PARAMETERS)
    replace(pipeline, "graph", graph)
    replace(pipeline, "stale", stale)
    replace(pipeline, "check", lambda *_: None)
    replace(pipeline, "reproduce", reproduce)
    replace(stage_run, "initialise", lambda *_: "")
    replace(stage_run, "close_dead", lambda *_: [])
    replace(stage_run, "start_pipeline_run", lambda *_: "parent-run")
    replace(stage_run, "finish_pipeline_run", lambda root, _, status: note(root, "mlflow", status))


if __name__ == "__main__":
    from contextlib import nullcontext

    from flows.cli import app
    from tasks.stage import fork_server

    install()
    replace(fork_server, "running", lambda *_: nullcontext({}))
    app(sys.argv[1:])
