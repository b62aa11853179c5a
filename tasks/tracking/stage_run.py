"""What MLflow remembers of a stage: one run for one set of inputs, however often the process was killed in between.

The stage's work folder makes it so. It is named after the hash of the inputs and outlives a kill, and in it lie the
address and id of the run (mlflow_run), the last step sent (mlflow_sent) and the summary (mlflow_summary). The order is:
append to the journal, write the checkpoint, `sync`; a resumed stage cuts the journal at the checkpoint. What was sent
but not noted is sent again from the same journal, with the same times, and MLflow's SQL store drops identical rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.process.files import remembered, whole_file
from tasks.process.said import say_once
from tasks.project.project import Project
from tasks.tracking.journal import Journal
from tasks.tracking.keys import input_tags, label, parameter_texts
from tasks.tracking.queries import abandoned, active, create, log, search, situation
from tasks.tracking.server import (
    call,
    choose_uri,
    connect,
    database,
    experiment_id,
    local_uri,
    locked,
    reachable,
    settle_places,
)

LOCAL = "local"
"""How a work folder notes the project's own records: their path would not be true of a moved project."""


@dataclass
class StageRun:
    """The MLflow run of one stage for one set of inputs; made by `open_run`.

    journal: what `finish` sends the rest of; the work folder's journal.jsonl unless `sync` was given another one.
    """

    project: Project
    stage: str
    key: str
    work: Path
    parameters: dict[str, Any]
    inputs: dict[str, str]
    tags: dict[str, str]
    parent: str | None
    uri: str = field(default="", init=False)
    run_id: str = field(default="", init=False)
    client: Any = field(default=None, init=False, repr=False)
    journal: Journal = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.work / "journal.jsonl")

    def sync(self, journal: Journal) -> None:
        """Sends the entries after the last step sent. Call it when the checkpoint of those steps is on the disk.

        A server that has gone away does not stop a training: the entries stay in the journal and go with a later call.
        A step goes once: where an older checkpoint makes it be trained again, MLflow keeps the first values.
        """
        self.journal = journal
        if not reachable(self.uri):
            say_once(f"MLflow server {self.uri} stopped answering; {journal.path} keeps what it misses")
            return
        sent = self._last_sent()
        entries = [entry for entry in journal.read() if entry.step > sent]
        if entries:
            log(self.client, self.run_id, metrics=[(e.step, e.time, e.values) for e in entries])
            self._note("mlflow_sent", {"run": self.run_id, "step": entries[-1].step})

    def finish(self, summary: Mapping[str, float], artifacts: Iterable[Path] = ()) -> None:
        """Records the summary (at step 0) and files or folders, and ends the run as FINISHED.

        The first summary given stands: a stage that was killed in here and resumed repeats it, not its own seconds.
        A server that has gone away is replaced by the local file, and all of the journal goes there.
        """
        artifacts = list(artifacts)
        for path in artifacts:
            if not path.exists():
                raise FileNotFoundError(f"{self.stage}: {path} is to be recorded as an artifact, but is not there")
        if not reachable(self.uri):
            say_once(f"MLflow server {self.uri} stopped answering; recording in {database(self.project)} instead")
            self._open(local_uri(self.project), None)
        self.sync(self.journal)  # a kill between the last checkpoint and its sync left something to send
        stored = self.work / "mlflow_summary"
        content = _read_note(stored)
        if content.keys() != {"time", "values"}:
            content = {"time": time.time() * 1000, "values": {k: float(v) for k, v in summary.items()}}
            self._note(stored.name, content)
        log(self.client, self.run_id, metrics=[(0, content["time"], content["values"])])
        for path in artifacts:
            self._attach(path)
        call(self.client.set_terminated, self.run_id, "FINISHED")

    def fail(self, reason: str) -> None:
        """Ends the run as FAILED with the reason as tag covey.failure; never raises, lest it hide that reason."""
        self._end("FAILED", {"covey.failure": reason[:8000]})

    def killed(self) -> None:
        """Ends the run as KILLED: the stage was told to stop. It is resumed where it is opened again."""
        self._end("KILLED", {})

    def _end(self, status: str, tags: dict[str, str]) -> None:
        try:
            if not reachable(self.uri):
                raise ConnectionError("the server does not answer")
            if tags:
                log(self.client, self.run_id, tags=tags)
            call(self.client.set_terminated, self.run_id, status)
        except Exception as error:
            say_once(f"{self.stage}: MLflow at {self.uri} was not told that the run is {status} ({error})")

    def _open(self, uri: str, known: str | None) -> None:
        """Resumes the run `known`, or adopts one whose process died, or creates one; notes which, and describes it."""
        self.client, self.uri = connect(self.project, uri), uri
        run = active(self.client, known) if known else None
        tags, many = self._all_tags()
        if run is None:
            run = abandoned(self.project, self.client, self.key)
        if run is None:
            self.run_id = create(self.project, self.client, self.stage, tags)
            present: set[str] = set()
        else:
            self.run_id, present = run.info.run_id, set(run.data.params)
        self._note("mlflow_run", {"uri": LOCAL if uri == local_uri(self.project) else uri, "run": self.run_id})
        if run is not None:
            log(self.client, self.run_id, tags=tags)
            if "covey.failure" in run.data.tags:
                call(self.client.delete_tag, self.run_id, "covey.failure")
            call(self.client.update_run, self.run_id, status="RUNNING")
        texts = parameter_texts(self.parameters)
        log(self.client, self.run_id, parameters={k: v for k, v in texts.items() if k not in present})
        if many:
            call(self.client.log_dict, self.run_id, self.inputs, "inputs.json")

    def _all_tags(self) -> tuple[dict[str, str], bool]:
        """The run's tags, and whether its inputs are too many to be tags."""
        inputs, many = input_tags(self.inputs)
        tags = {"covey.stage": self.stage, "covey.key": self.key, **situation(self.project, self.parent), **inputs}
        return tags | {label(name): str(value) for name, value in self.tags.items()}, many

    def _last_sent(self) -> int:
        """The last step that this run is known to have; -1 for none."""
        note = _read_note(self.work / "mlflow_sent")
        return int(note["step"]) if note.get("run") == self.run_id else -1

    def _attach(self, path: Path) -> None:
        settle_places(self.project, self.uri)
        if path.is_dir():
            call(self.client.log_artifacts, self.run_id, str(path), path.name)
        else:
            call(self.client.log_artifact, self.run_id, str(path))

    def _note(self, name: str, content: dict[str, Any]) -> None:
        with whole_file(self.work / name) as temporary:
            temporary.write_text(json.dumps(content))


def open_run(
    project: Project,
    *,
    stage: str,
    key: str,
    work: Path,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
) -> StageRun:
    """The one run of `stage` for the inputs hashed into `key`, now RUNNING; the caller holds the stage's lock.

    parameters: nested or flat; must follow from `key`, since MLflow writes them once. What varies from machine to
    machine belongs into `tags`. inputs: path -> hash. parent: id of the pipeline's run, else COVEY_PARENT_RUN.
    """
    run = StageRun(project, stage, key, work, dict(parameters), dict(inputs), dict(tags or {}), parent)
    note = _read_note(work / "mlflow_run")
    # A run that began in the local file stays there, also when the server is back: it shall not be in both.
    noted = local_uri(project) if note.get("uri") == LOCAL else note.get("uri")
    uri = local_uri(project) if noted == local_uri(project) else choose_uri(project)
    run._open(uri, note.get("run") if noted == uri else None)
    return run


def record_restored(
    project: Project,
    stage: str,
    key: str,
    parameters: Mapping[str, Any],
    summary: Mapping[str, float],
    tags: Mapping[str, str] | None = None,
) -> str:
    """A FINISHED run (tag covey.restored) for an output that came from DVC's run cache; gives its id.

    Where a FINISHED run of this key is there already, restored or trained, that one stands.
    """
    client = connect(project, choose_uri(project))
    experiment_id(project, client)  # before the lock, which it takes itself
    described = {"covey.stage": stage, "covey.key": key, "covey.restored": "true", **situation(project, None)}
    described |= {label(name): str(value) for name, value in (tags or {}).items()}
    with locked(project):
        for run in search(project, client, f"tags.`covey.key` = '{key}' and attributes.status = 'FINISHED'"):
            return str(run.info.run_id)
        cut_off = abandoned(project, client, key, restored=True)
        run_id = cut_off.info.run_id if cut_off else create(project, client, stage, described)
        started = call(client.get_run, run_id).info.start_time  # not the present: what a kill cut off is sent again
        log(client, run_id, parameters=parameter_texts(parameters), metrics=[(0, started, summary)])
        call(client.set_terminated, run_id, "FINISHED")
    return str(run_id)


def _read_note(path: Path) -> dict[str, Any]:
    return remembered(path)
