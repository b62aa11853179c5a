"""A process with the slow imports done, which forks one stage after another: a start costs milliseconds, not seconds.

The server holds third-party packages only, never the project's own modules: a stage always runs the code as it lies
on the disk. `python -m tasks ...` is the client: it hands over its arguments, folder, environment and its three
standard streams, and waits for the exit code. When the client goes, for whatever reason, the forked stage is killed;
when the server goes, the kernel kills its forks.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from tasks.process.parent_death import CLIENT, die_with_parent
from tasks.project.paths import log_file
from tasks.tracking import server as mlflow_store

ADDRESS = "COVEY_FORKSERVER"
PRELOAD = (
    "numpy",
    "torch",
    "torch._dynamo",  # the first optimiser of a process imports it: four seconds
    "safetensors.torch",
    "dvc.repo",
    "faiss",
    "scipy.optimize",
)
STARTING = 60.0


@contextmanager
def running(root: Path) -> Iterator[dict[str, str]]:
    """Runs a fork server while the block lasts; yields the environment that makes stages use it.

    Where processes cannot be forked soundly (anything but Linux) it is empty, and stages start by themselves.
    """
    if sys.platform != "linux":
        yield {}
        return
    address = f"\0covey-{os.getpid()}-{time.monotonic_ns()}"  # abstract: leaves no file, has no length limit of a path
    # Two libraries would start a thread of their own on import, and a fork takes along only the thread that forks.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    log = log_file(root, "forkserver")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "tasks.stage.fork_server", address[1:], str(os.getpid())],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield {ADDRESS: f"{server.pid}:{address[1:]}"}
    finally:
        server.kill()
        server.wait()


def delegate(arguments: list[str]) -> int | None:
    """Has the fork server run `python -m tasks <arguments>`; its exit code, or None where there is no server."""
    pid, _, name = os.environ.get(ADDRESS, "").partition(":")
    if not name or (connection := _connect(int(pid), f"\0{name}")) is None:
        return None
    environment = {**os.environ, CLIENT: str(os.getpid())}
    message = json.dumps({"arguments": arguments, "folder": os.getcwd(), "environment": environment}).encode()
    socket.send_fds(connection, [len(message).to_bytes(4, "big")], [0, 1, 2])
    connection.sendall(message)
    answer = connection.recv(16)
    return int(answer) if answer else 128 + signal.SIGKILL


def _connect(server: int, address: str) -> socket.socket | None:
    """A connection to the server, which may still be importing; None if it is gone."""
    deadline = time.monotonic() + STARTING
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(address)
            return connection
        except OSError:
            connection.close()
            if time.monotonic() > deadline or not _lives(server):
                return None
            time.sleep(0.1)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _user(connection: socket.socket) -> int:
    """The user id of the process at the other end."""
    return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1]


def serve(address: str, owner: int) -> None:
    """Imports, then forks a child for every connection until the owner is gone."""
    die_with_parent()
    if os.getppid() != owner:
        return
    for name in PRELOAD:
        import_module(name)
    mlflow_store.preload()
    if (others := threading.active_count() - 1) > 0:
        print(f"{others} threads run in the fork server: a fork may hang", [t.name for t in threading.enumerate()])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{address}")
        listener.listen(64)
        while True:
            connection, _ = listener.accept()
            if _user(connection) != os.getuid():  # an abstract address has no permissions of its own
                connection.close()
                continue
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os._exit(_child(connection))
            connection.close()


def _child(connection: socket.socket) -> int:
    """One stage, in a fork: takes over the client's streams, folder and environment, and answers with its exit code."""
    die_with_parent()
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    message = _receive(connection, int.from_bytes(length, "big"))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(message["folder"])
    os.environ.clear()
    os.environ.update(message["environment"])
    os.environ.pop(ADDRESS, None)
    sys.argv = ["tasks", *message["arguments"]]
    sys.path[0] = message["folder"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tasks"]:
        del sys.modules[name]  # the stage shall run what lies on the disk now
    threading.Thread(target=_die_with_client, args=(connection,), daemon=True).start()
    code = 1
    try:
        from tasks.__main__ import run

        code = run(message["arguments"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())
    return code


def _receive(connection: socket.socket, length: int) -> dict[str, Any]:
    parts = b""
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            os._exit(1)
        parts += part
    return json.loads(parts)


def _die_with_client(connection: socket.socket) -> None:
    connection.recv(1)  # the client sends no more: this returns when it is gone
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
