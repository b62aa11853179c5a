"""What a Dask worker does with one stage: it finds a folder, checks the code out, and runs tasks/remote/worker.py.

The parent sends this module's functions whole, so a worker needs no Covey of its own, only the packages of
requirements.txt and git; all that runs beyond them is the code of the commit. They import the standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = "COVEY_WORKER_FOLDER"
"""Where a worker keeps its checkouts and DVC's cache; ~/.cache/covey if it is not set."""

PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn", "faiss-cpu", "safetensors", "dvc"),
    *("dask", "distributed", "cloudpickle"),
)
"""Those that a result depends on, and those that parent and worker talk through."""

POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0


def versions() -> dict[str, str]:
    """What must be the same on parent and worker; a package that is not there is "missing"."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def differences(wanted: Mapping[str, str]) -> list[str]:
    """What this process has in another version than `wanted`: "torch 2.11.0, not 2.12.1"."""
    here = versions()
    return [f"{name} {here.get(name)}, not {version}" for name, version in wanted.items() if here.get(name) != version]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """What Dask calls: the reply of `work`, with the name of this worker."""
    from distributed import get_worker

    return {**work(request, _asked_for()), "worker": str(get_worker().name)}


def work(request: Mapping[str, Any], wanted: Callable[[], bool]) -> dict[str, Any]:
    """Brings one stage up to date in a checkout of this worker's own.

    request: what `flows.dask.engine` sends. wanted: whether anybody still waits for the answer.

    Returns the reply of `tasks.remote.worker`, with the content of the files that DVC does not cache; or `failed`,
    `tail` and `final`, where it came to nothing. No error of this machine is raised: the parent may lack its class.
    """
    if unfit := differences(request["versions"]):
        return {"failed": f"was refused: this worker has {'; '.join(unfit)}", "tail": "", "final": True}
    try:
        with _place(request["project"]) as folder:
            tree = check_out(folder / "tree", request["sources"], request["commit"]) / request["prefix"]
            return _carry_out(tree, {**request, "cache": str(folder.parent / "cache")}, wanted)
    except (OSError, RuntimeError) as error:
        return {"failed": "could not be started on the worker", "tail": str(error), "final": False}


@contextmanager
def _place(project: str) -> Iterator[Path]:
    """The first of this project's folders in which nobody works; it is free again when this process ends, anyhow."""
    home = Path(os.environ.get(FOLDER) or "~/.cache/covey").expanduser() / project
    home.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        with open(home / f"{number}.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            folder = home / str(number)
            folder.mkdir(exist_ok=True)
            yield folder
            return


def check_out(tree: Path, sources: Sequence[str], commit: str) -> Path:
    """Makes `tree` a checkout of a commit, from the first of the repositories that has it; outputs in it stay.

    Raises:
        RuntimeError: none of them has it.
    """
    if not (tree / ".git").exists():
        _git(tree.parent, "init", "--quiet", str(tree))
    (tree / ".git" / "index.lock").unlink(missing_ok=True)  # nobody else works here: a kill has left it behind
    said: list[str] = []
    for source in sources:
        if not _git(tree, "cat-file", "-e", f"{commit}^{{commit}}"):
            break
        if words := _git(tree, "fetch", "--quiet", "--no-tags", source, commit):
            said.append(f"{source}: {words}")
    if words := _git(tree, "checkout", "--quiet", "--force", "--detach", commit):
        places = " nor from ".join(sources)
        raise RuntimeError(
            f"commit {commit[:10]} cannot be had from {places}; push it to where the workers can fetch it.\n"
            + "\n".join([*said, words])
        )
    return tree


def _git(folder: Path, *words: str) -> str:
    """Runs git; what it said where it failed, else nothing."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", "-c", "advice.detachedHead=false", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"git {words[0]} failed")


def _carry_out(tree: Path, request: Mapping[str, Any], wanted: Callable[[], bool]) -> dict[str, Any]:
    """Runs `python -m tasks.remote.worker` in the checkout, as long as its answer is wanted, and reads its reply."""
    desk = tree / ".covey" / "remote"
    desk.mkdir(parents=True, exist_ok=True)
    reply = desk / "reply.json"
    reply.unlink(missing_ok=True)
    (desk / "request.json").write_text(json.dumps(request))
    log = desk / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.remote.worker", str(desk)],
            cwd=tree,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_leash(),
        )
    try:
        _attend(process, wanted)
    finally:
        _end(process)
    if not reply.exists():
        tail = "\n".join(log.read_text(errors="replace").strip().splitlines()[-12:])
        return {"failed": f"ended on the worker with exit code {process.returncode}", "tail": tail, "final": False}
    content: dict[str, Any] = json.loads(reply.read_text())
    content["files"] = {path: (tree / path).read_bytes() for path in content.get("files", ())}
    return content


def _attend(process: subprocess.Popen[bytes], wanted: Callable[[], bool]) -> None:
    """Returns when the process has ended, or nobody wants its answer any more."""
    while wanted():
        try:
            process.wait(POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that still runs: with Ctrl-C's signal, on which it ends dvc and the stage; then by force."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _leash() -> Callable[[], None] | None:
    """Has the kernel kill a child when its parent ends (Linux; elsewhere nothing)."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)  # before the fork: little is safe between that and the exec
    return lambda: library.prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


def _asked_for() -> Callable[[], bool]:
    """Whether Dask still wants this task: not so once the parent has cancelled it, or is gone."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def asked() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    return asked
