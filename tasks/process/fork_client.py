"""The client's side of the fork server (tasks/stage/fork_server.py): work is handed over, and its end is waited for."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from tasks.process.command import known_group
from tasks.process.parent_death import CLIENT

ADDRESS = "COVEY_FORKSERVER"
"""Environment variable: process id and address of the server, where there is one."""

STARTING = 60.0
KILLED = 128 + signal.SIGKILL
_told: list[str] = []
_spent: list[float] = []


@dataclass(frozen=True)
class Server:
    """A fork server that has been named to this process."""

    pid: int
    address: str

    def connect(self) -> socket.socket | None:
        """A connection to the server, which may still be importing; None if it is gone."""
        deadline = time.monotonic() + STARTING
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(f"\0{self.address}")
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > deadline or not _lives(self.pid):
                    return None
                time.sleep(0.05)


def fork_server(environment: Mapping[str, str] | None = None) -> Server | None:
    """The server that the environment names; None where there is none, or it is gone."""
    pid, _, address = (os.environ if environment is None else environment).get(ADDRESS, "").partition(":")
    return Server(int(pid), address) if address and _lives(int(pid)) else None


class Fork:
    """Work in a fork of the server, in a process group of its own; ended, with all of its group, at the block's end.

    Args:
        words: what to do, as on the command line of `python -m tasks`.
        output: file descriptor for its standard output, and for its error unless `error` is given.
    """

    def __init__(
        self,
        server: Server,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: int,
        error: int | None = None,
    ) -> None:
        self.answer = ""
        self.cpu_seconds = 0.0
        self._code: int | None = None
        self._stack = ExitStack()
        connection = server.connect()
        if connection is None:
            raise OSError("the fork server has ended")
        self._connection = self._stack.enter_context(connection)
        content = {
            "arguments": list(words),
            "folder": str(folder),
            "environment": {**environment, CLIENT: str(os.getpid())},
        }
        message = json.dumps(content).encode()
        streams = (output, output if error is None else error)
        with open(os.devnull, "rb") as nothing:
            socket.send_fds(connection, [len(message).to_bytes(4, "big")], [nothing.fileno(), *streams])
        connection.sendall(message)
        self.pid = int(self._line() or 0)
        if not self.pid:
            self._stack.close()
            raise OSError("the fork server has ended")

    def __enter__(self) -> Fork:
        self._stack.enter_context(known_group(self.pid))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            self._end()
        self._stack.close()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, or None after a timeout.

        Afterwards `answer` holds what the work has told, and `cpu_seconds` the processor time of it and its forks.
        """
        ready, _, _ = select.select([self._connection], [], [], timeout)
        if not ready:
            self._end()
            return None
        code, _, rest = self._line().partition(" ")
        seconds, _, self.answer = rest.partition(" ")
        self.cpu_seconds = float(seconds or 0)
        _spent.append(self.cpu_seconds)
        self._code = int(code) if code else KILLED
        return self._code

    def _end(self) -> None:
        """Kills the work, with its group where it leads one, and waits until it is gone."""
        with suppress(ProcessLookupError):
            leads = os.getpgid(self.pid) == self.pid
            (os.killpg if leads else os.kill)(self.pid, signal.SIGKILL)
        while self._line():
            pass
        self._code = KILLED

    def _line(self) -> str:
        """What the fork says next, up to the end of a line; empty once it is gone."""
        text = b""
        with suppress(ConnectionError):
            while not text.endswith(b"\n"):
                if not (part := self._connection.recv(1)):
                    break
                text += part
        return text.decode().strip()


def delegate(arguments: Sequence[str]) -> int | None:
    """Has the fork server run `python -m tasks ARGUMENTS`; its exit code, or None where there is no server."""
    server = fork_server()
    if server is None:
        return None
    try:
        with Fork(server, arguments, Path.cwd(), os.environ, 1, 2) as fork:
            return fork.wait()
    except OSError:
        return None


def tell(answer: str) -> None:
    """Says a word to the client, beside the exit code."""
    _told[:] = [answer]


def cpu_seconds() -> float:
    """Processor time of this process and of the forks that it has waited for."""
    return time.process_time() + sum(_spent)


def told() -> str:
    """What `tell` was last given."""
    return _told[-1] if _told else ""


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
