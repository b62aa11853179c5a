"""A worker's part of one stage: pull what it reads, run it, push what it wrote, in a checkout of the worker's own.

`python -m tasks.remote.worker FOLDER` reads request.json there (flows/dask/engine.py wrote it) and writes reply.json.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project import paths
from tasks.project.project import Project
from tasks.remote import dvc_remote
from tasks.staleness import code_hash, lock_file, pipeline
from tasks.staleness.dvc_errors import StageFailed
from tasks.staleness.reproduce import reproduce

LOG_BYTES = 65536


class Refused(RuntimeError):
    """This worker cannot do it and will not be able to; the text says why."""


def run_request(project: Project, request: Mapping[str, Any]) -> dict[str, Any]:
    """The worker's part: pulls what the stage reads, runs it, pushes what it wrote.

    Returns `outcome`, `entry` (of dvc.lock), `files` (outputs that DVC does not cache), and `log`; or, where it failed,
    `failed`, `tail`, `final` and `log`.
    """
    name = request["stage"]
    try:
        _settle(project, request)
        if request["inputs"]:  # without a name, dvc would bring everything
            dvc_remote.run(project, "pull", "dvc", "pull", "--force", *request["inputs"])
        outcome = reproduce(
            project, name, timeout=request["timeout"], environment=_environment(request), force=request["force"]
        )
        dvc_remote.push(project, [name])
        project.forget_work(name, only_done=True)
        reply: dict[str, Any] = {"outcome": outcome, "entry": entry(project, name), "files": uncached(project, name)}
    except Refused as error:
        reply = {"failed": "was refused", "tail": str(error), "final": True}
    except StageFailed as error:
        reply = {"failed": error.reason, "tail": error.tail, "final": error.final}
    except RuntimeError as error:
        reply = {"failed": "could not be done", "tail": str(error), "final": False}
    path = project.log(name)
    return reply | {"log": path.read_text(errors="replace")[-LOG_BYTES:] if path.exists() else ""}


def _settle(project: Project, request: Mapping[str, Any]) -> None:
    """Makes the checkout the parent's: parameters, dvc.lock, remote; refuses code that is not the same."""
    from dvc.config import Config

    for name, content in (("params.yaml", request["parameters"]), (paths.LOCK, request["lock"])):
        if not content:  # dvc refuses a dvc.lock with nothing in it
            (project.root / name).unlink(missing_ok=True)
            continue
        with files.whole_file(project.root / name) as temporary:
            temporary.write_text(content)
    # What a dvc that was killed here has left: nobody else works in this checkout.
    (project.root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    remote = request["remote"]
    with Config(str(project.root / ".dvc")).edit("local") as config:
        config["core"]["remote"] = remote["name"]
        config["remote"][remote["name"]] = {**config["remote"].get(remote["name"], {}), "url": remote["url"]}
        config["cache"]["dir"] = request["cache"]
    if "://" not in remote["url"] and not Path(remote["url"]).is_dir():
        raise Refused(f"the DVC remote's folder {remote['url']} is not to be seen from this worker")
    code_hash.write(project.root)
    if other := _differing(request["code"], code_hash.read(project.root)):
        raise Refused(f"the code of {', '.join(other)} is not the parent's")


def _differing(wanted: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The stages whose code is another: "pretrain rotation". Files of data and weights are the business of readers."""
    files = (code_hash.SOURCES, code_hash.WEIGHTS)
    theirs, ours = (
        _flat({name: own for name, own in content.items() if name not in files}) for content in (wanted, here)
    )
    return [name for name in theirs | ours if theirs.get(name) != ours.get(name)]


def _flat(content: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in content.items():
        found |= (
            {f"{name} {rest}": own for rest, own in _flat(value).items()} if isinstance(value, dict) else {name: value}
        )
    return found


def _environment(request: Mapping[str, Any]) -> dict[str, str]:
    """The stage's: it must end with this process, which stands for the flow here."""
    return {**request["environment"], "COVEY_FLOW_PID": str(os.getpid())}


def entry(project: Project, name: str) -> dict[str, Any]:
    """A stage's entry of dvc.lock."""
    from dvc.utils.serialize import parse_yaml

    lock = project.root / paths.LOCK
    found: dict[str, Any] = parse_yaml(lock_file.read(lock, [name])[name], str(lock))[name]
    return found


def uncached(project: Project, name: str) -> list[str]:
    """The files that a stage writes and DVC does not keep, such as tables that belong into git."""
    outputs = [project.root / path for path in pipeline.stage(project.root, name).uncached]
    found = [file for path in outputs for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return [file.relative_to(project.root).as_posix() for file in found if file.is_file()]


def main(arguments: list[str]) -> int:
    """FOLDER: where the request lies, and the reply shall."""
    desk = Path(arguments[0])
    files.write_json(
        desk / "reply.json", run_request(Project(Path.cwd()), json.loads((desk / "request.json").read_text()))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
