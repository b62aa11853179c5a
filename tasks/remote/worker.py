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

from tasks.project import paths as store
from tasks.remote import dvc_remote
from tasks.staleness import code_hash, graph

LOG_BYTES = 65536


class Refused(RuntimeError):
    """This worker cannot do it and will not be able to; the text says why."""


def carry_out(root: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """The worker's part: pulls what the stage reads, runs it, pushes what it wrote.

    Returns `outcome`, `entry` (of dvc.lock), `files` (outputs that DVC does not cache), and `log`; or, where it failed,
    `failed`, `tail`, `final` and `log`.
    """
    name = request["stage"]
    try:
        _settle(root, request)
        if request["inputs"]:  # without a name, dvc would bring everything
            dvc_remote.run(root, "pull", "dvc", "pull", "--force", *request["inputs"])
        outcome = graph.reproduce(
            root, name, timeout=request["timeout"], environment=_environment(request), force=request["force"]
        )
        dvc_remote.push(root, [name])
        store.forget_work(root, name, only_done=True)
        reply: dict[str, Any] = {"outcome": outcome, "entry": entry(root, name), "files": uncached(root, name)}
    except Refused as error:
        reply = {"failed": "was refused", "tail": str(error), "final": True}
    except graph.StageFailed as error:
        reply = {"failed": error.reason, "tail": error.tail, "final": error.final}
    except RuntimeError as error:
        reply = {"failed": "could not be done", "tail": str(error), "final": False}
    path = store.log_file(root, name)
    return reply | {"log": path.read_text(errors="replace")[-LOG_BYTES:] if path.exists() else ""}


def _settle(root: Path, request: Mapping[str, Any]) -> None:
    """Makes the checkout the parent's: parameters, dvc.lock, remote; refuses code that is not the same."""
    from dvc.config import Config

    for name, content in (("params.yaml", request["parameters"]), (dvc_remote.LOCK_FILE, request["lock"])):
        if not content:  # dvc refuses a dvc.lock with nothing in it
            (root / name).unlink(missing_ok=True)
            continue
        with store.whole_file(root / name) as temporary:
            temporary.write_text(content)
    # What a dvc that was killed here has left: nobody else works in this checkout.
    (root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    remote = request["remote"]
    with Config(str(root / ".dvc")).edit("local") as config:
        config["core"]["remote"] = remote["name"]
        config["remote"][remote["name"]] = {**config["remote"].get(remote["name"], {}), "url": remote["url"]}
        config["cache"]["dir"] = request["cache"]
    if "://" not in remote["url"] and not Path(remote["url"]).is_dir():
        raise Refused(f"the DVC remote's folder {remote['url']} is not to be seen from this worker")
    code_hash.write(root)
    if other := _differing(request["code"], code_hash.read(root)):
        raise Refused(f"the code of {', '.join(other)} is not the parent's")


def _differing(wanted: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    keys = [(kind, name) for content in (wanted, here) for kind, names in content.items() for name in names]
    pairs = dict.fromkeys(keys)
    return [f"{k} {n}" for k, n in pairs if wanted.get(k, {}).get(n) != here.get(k, {}).get(n)]


def _environment(request: Mapping[str, Any]) -> dict[str, str]:
    """The stage's: it must end with this process, which stands for the flow here."""
    return {**request["environment"], "COVEY_FLOW_PID": str(os.getpid())}


def entry(root: Path, name: str) -> dict[str, Any]:
    """A stage's entry of dvc.lock."""
    from dvc.utils.serialize import load_yaml

    found: dict[str, Any] = load_yaml(str(root / dvc_remote.LOCK_FILE))["stages"][name]
    return found


def uncached(root: Path, name: str) -> list[str]:
    """The files that a stage writes and DVC does not keep, such as tables that belong into git."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        paths = [Path(out.fs_path) for out in dvc_remote.stage_of(repo, name).outs if not out.use_cache]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return [file.relative_to(root).as_posix() for file in files if file.is_file()]


def main(arguments: list[str]) -> int:
    """FOLDER: where the request lies, and the reply shall."""
    desk = Path(arguments[0])
    store.write_json(desk / "reply.json", carry_out(Path.cwd(), json.loads((desk / "request.json").read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
