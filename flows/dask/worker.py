"""What a Dask worker does with one stage: it finds a folder, checks the code out, and runs tasks/remote/worker.py.

The parent sends the functions of this module by value, so a worker needs no Covey, only git and the packages of
requirements.txt. The stage itself runs with the code of the commit. These functions only use the standard library.
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
"""Environment variable: the folder of a worker's checkouts and DVC cache. Default: ~/.cache/covey."""

PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn", "faiss-cpu", "safetensors", "dvc"),
    *("dask", "distributed", "cloudpickle"),
)
"""The packages that results depend on, and those for the communication with the parent."""

POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0


def versions() -> dict[str, str]:
    """The versions that must be the same on parent and worker; "missing" for a package that is not installed."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def differences(wanted: Mapping[str, str]) -> list[str]:
    """The differences between the versions here and the wanted ones: "torch 2.11.0, not 2.12.1"."""
    here = versions()
    return [f"{name} {here.get(name)}, not {version}" for name, version in wanted.items() if here.get(name) != version]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The function that Dask calls: the reply of `work`, with the name of this worker."""
    from distributed import get_worker

    return {**work(request, _asked_for()), "worker": str(get_worker().name)}


def work(request: Mapping[str, Any], wanted: Callable[[], bool]) -> dict[str, Any]:
    """Brings one stage up to date in this worker's own checkout.

    request: what `flows.dask.engine` sends. wanted: whether the parent still waits for the answer.

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
    """Locks a folder of this project that no other process uses, until the block ends or the process does."""
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
    """Makes `tree` a checkout of a commit, from the first repository that has it. It keeps outputs in the tree.

    Raises:
        RuntimeError: no repository has it.
    """
    if not (tree / ".git").exists():
        _git(tree.parent, "init", "--quiet", str(tree))
    (tree / ".git" / "index.lock").unlink(missing_ok=True)  # the folder is locked, so a killed process has left it
    said: list[str] = []
    for source in sources:
        if not _git(tree, "cat-file", "-e", f"{commit}^{{commit}}"):
            break
        if words := _git(tree, "fetch", "--quiet", "--no-tags", source, commit):
            said.append(f"{source}: {words}")
    if words := _git(tree, "checkout", "--quiet", "--force", "--detach", commit):
        places = " nor from ".join(sources)
        raise RuntimeError(
            f"commit {commit[:10]} cannot be fetched from {places}; push it to where the workers can fetch it.\n"
            + "\n".join([*said, words])
        )
    return tree


def _git(folder: Path, *words: str) -> str:
    """Runs git. Returns its error message, or an empty text if it succeeded."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", "-c", "advice.detachedHead=false", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"git {words[0]} failed")


def _carry_out(tree: Path, request: Mapping[str, Any], wanted: Callable[[], bool]) -> dict[str, Any]:
    """Runs `python -m tasks.remote.worker` in the checkout while its answer is wanted. Returns the reply."""
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
    """Waits until the process has ended, or its answer is no longer wanted."""
    while wanted():
        try:
            process.wait(POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process if it still runs: with SIGINT, so that it ends dvc and the stage, then with SIGKILL."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _leash() -> Callable[[], None] | None:
    """A function for the child that has the kernel kill it when the parent ends; None if this is not Linux.

    It also has the child obey SIGINT: a worker that a script has started in the background ignores it.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)  # loaded here: few calls are safe between fork and exec

    def leash() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        library.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    return leash


def _asked_for() -> Callable[[], bool]:
    """Tells whether Dask still wants this task. It does not if the parent has cancelled it or is gone."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def asked() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    return asked
