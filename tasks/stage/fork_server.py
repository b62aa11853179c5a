"""A process with the slow imports done, which forks one piece of work after another: a start costs milliseconds.

It is given `python -m tasks ...` as a list of words (see tasks/process/fork_client.py), with a folder, an environment
and three standard streams, and answers with the fork's process id, then with its exit code. When the client goes, for
whatever reason, the fork is killed; when the server goes, the kernel kills its forks.

The project's own modules are imported beforehand too, and what params.yaml and the code say is read. A fork that finds
one of these modules' files changed imports them anew: a stage runs the code as it lies on the disk.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.process import collector
from tasks.process.fork_client import ADDRESS, peer
from tasks.process.parent_death import die_with_parent
from tasks.project.project import Project
from tasks.tracking import server as tracking_server

PRELOAD = (
    "numpy",
    "torch",
    "safetensors.torch",
    "dvc.repo",
    "dvc.repo.reproduce",
    "dvc.stage.cache",
    "faiss",
    "sqlalchemy.dialects.sqlite",
    "scipy.optimize",
)
FOR_TRAINING = "torch._dynamo"
"""The first optimiser of a process imports it, which takes a second."""
OWN = ("flows", "tasks", "ssl_models")


@contextmanager
def running(project: Project, *, trains: bool = True) -> Iterator[dict[str, str]]:
    """Runs a fork server while the block lasts; yields the environment that makes stages use it.

    trains: whether there will be trainings, which need one more import.

    Where processes cannot be forked soundly (anything but Linux) it is empty, and stages start by themselves.
    """
    if sys.platform != "linux":
        yield {}
        return
    # Two libraries would start a thread of their own on import, and a fork takes along only the thread that forks.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    with open(project.log("forkserver"), "wb") as output, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        # Linux picks a free abstract address. It is taken before anyone can know it, leaves no file, and is free again
        # when the server ends.
        listener.bind("")
        address = listener.getsockname()[1:].decode()
        words = [str(listener.fileno()), str(os.getpid()), "trains" if trains else ""]
        server = subprocess.Popen(
            [sys.executable, "-m", "tasks.stage.fork_server", *words],
            cwd=project.root,
            pass_fds=(listener.fileno(),),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield {ADDRESS: f"{server.pid}:{address}"}
    finally:
        server.kill()
        server.wait()


def serve(bound: int, owner: int, *, trains: bool) -> None:
    """Imports, then forks a child for every connection until the owner is gone.

    bound: file descriptor of a socket that has its address. This process calls `listen`: that is what clients check.
    """
    die_with_parent()
    if os.getppid() != owner:
        return
    with collector.importing():  # a collection in a fork would visit, and so copy, all that is imported here: 0.4 s
        own = _preload(trains)
    if (others := threading.active_count() - 1) > 0:
        print(f"{others} threads run in the fork server: a fork may hang", [t.name for t in threading.enumerate()])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script has started in the background
    with socket.socket(fileno=bound) as listener:
        os.set_inheritable(bound, False)
        listener.listen(64)
        while True:
            connection, _ = listener.accept()
            client, user = peer(connection)
            if user != os.geteuid() or not client:  # an abstract address has no permissions of its own
                connection.close()
                continue
            if os.fork() == 0:
                code = 1
                try:
                    listener.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    code = _child(connection, client, own)
                finally:
                    os._exit(code)
            connection.close()


def _preload(trains: bool) -> dict[str, tuple[int, ...]]:
    """Imports packages and the project's modules, and reads its settings; path -> state of each of its own files."""
    for name in (*PRELOAD, *([FOR_TRAINING] if trains else [])):
        import_module(name)
    tracking_server.preload()
    from tasks.stage import warm

    with suppress(Exception):  # what is wrong with the project is for the stages to say
        warm.up(Project(Path.cwd()))
    return {path: _state(path) for path in _own_files()}


def _own_files() -> list[str]:
    modules = [(name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    return [file for name, file in modules if file and name.partition(".")[0] in OWN]


def _state(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _forget_changed(own: dict[str, tuple[int, ...]], folder: str) -> None:
    """Drops all of the project's modules where one has changed on the disk, or another project's are wanted."""
    elsewhere = any(not Path(path).is_relative_to(folder) for path in own)
    if elsewhere or any(_state(path) != state for path, state in own.items()):
        for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
            del sys.modules[name]


def _child(connection: socket.socket, client: int, own: dict[str, tuple[int, ...]]) -> int:
    """One piece of work, in a fork: takes over the client's streams, folder and environment, and answers."""
    die_with_parent()
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    message = _receive(connection, int.from_bytes(length, "big"))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(message["folder"])
    os.environ.clear()
    os.environ.update(message["environment"])
    _join_group(client, leads=message["arguments"][:1] == ["reproduce"])
    sys.argv = ["tasks", *message["arguments"]]
    sys.path[0] = message["folder"]
    _forget_changed(own, message["folder"])
    connection.sendall(f"{os.getpid()}\n".encode())
    threading.Thread(target=_die_with_client, args=(connection,), daemon=True).start()
    code = 1
    try:
        from tasks.stage.dispatch import run

        code = run(message["arguments"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    from tasks.process import fork_client

    connection.sendall(f"{code} {fork_client.cpu_seconds():.3f} {fork_client.told()}\n".encode())
    return code


def _join_group(client: int, *, leads: bool) -> None:
    """A stage goes into the group of the dvc that asked for it, and gets the same signals; a dvc leads a group."""
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(0, 0 if leads else os.getpgid(client))
        return
    os.setpgid(0, 0)


def _receive(connection: socket.socket, length: int) -> dict[str, Any]:
    parts = b""
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            os._exit(1)
        parts += part
    content: dict[str, Any] = json.loads(parts)
    return content


def _die_with_client(connection: socket.socket) -> None:
    connection.recv(1)  # the client sends no more: this returns when it is gone
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), trains=bool(sys.argv[3]))
