"""The client of the fork server (tasks/stage/fork_server.py): sends a command to it and waits for the exit code.

An address is worth what the kernel says of who listens there (SO_PEERCRED): a command, its environment and its streams
go to the very process that was started as the server, and to no other.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from tasks.process.command import known_group
from tasks.process.parent_death import CLIENT
from tasks.process.said import say_once
from tasks.process.stopping import Relay

ADDRESS = "COVEY_FORKSERVER"
"""Environment variable: process id and address of the server. Unset if there is no server."""

STARTING = 60.0
KILLED = 128 + signal.SIGKILL
_told: list[str] = []
_spent: list[float] = []


@dataclass(frozen=True)
class Server:
    """Process id and address of a fork server."""

    pid: int
    address: str

    def connect(self) -> socket.socket | None:
        """A connection to the server; None if the server has ended. Waits while it still imports its modules.

        None also if another process listens at the address; it is sent nothing.
        """
        deadline = time.monotonic() + STARTING
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(f"\0{self.address}")
            except OSError:
                connection.close()
                if time.monotonic() > deadline or not _lives(self.pid):
                    return None
                time.sleep(0.05)
                continue
            if (found := peer(connection)) == (self.pid, os.geteuid()):
                return connection
            connection.close()
            say_once(
                f"process {found[0]} of user {found[1]} listens at the address of the fork server, process {self.pid}; "
                "nothing was sent to it, and what follows runs without the fork server"
            )
            return None


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process id and user id of the other end; of a listener, those of the process that called `listen`.

    The process id is 0 for a process of another container.
    """
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", found)
    return process, user


def fork_server(environment: Mapping[str, str] | None = None) -> Server | None:
    """The server in the environment (default: of this process); None if there is none, or it has ended."""
    pid, _, address = (os.environ if environment is None else environment).get(ADDRESS, "").partition(":")
    return Server(int(pid), address) if address and _lives(int(pid)) else None


class Fork:
    """A command that runs in a fork of the server. Use it as a context manager: leaving the block kills the fork.

    Args:
        words: the arguments of `python -m tasks`.
        output: file descriptor for standard output, and for standard error unless `error` is given.
        short: as in `known_group`.
    """

    def __init__(
        self,
        server: Server,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: int,
        error: int | None = None,
        *,
        short: bool = False,
    ) -> None:
        self.answer = ""
        self._short = short
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
        self._stack.enter_context(known_group(self.pid, short=self._short))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            self._end()
        self._stack.close()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, or None after a timeout, which kills the fork.

        Then `answer` is the text that the fork passed to `tell`, and `cpu_seconds` the CPU time of it and its forks.
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
        """Kills the fork, with its process group if it leads one, and waits until it has ended."""
        with suppress(ProcessLookupError):
            leads = os.getpgid(self.pid) == self.pid
            (os.killpg if leads else os.kill)(self.pid, signal.SIGKILL)
        while self._line():
            pass
        self._code = KILLED

    def _line(self) -> str:
        """The next line from the fork; empty if it has ended."""
        text = b""
        with suppress(ConnectionError):
            while not text.endswith(b"\n"):
                if not (part := self._connection.recv(1)):
                    break
                text += part
        return text.decode().strip()


def delegate(arguments: Sequence[str]) -> int | None:
    """Runs `python -m tasks ARGUMENTS` in the fork server; returns the exit code, or None if there is no server."""
    server = fork_server()
    if server is None:
        return None
    try:
        with Relay() as relay, Fork(server, arguments, Path.cwd(), os.environ, 1, 2) as fork:
            relay.to(fork.pid)
            return fork.wait()
    except OSError:
        return None


def tell(answer: str) -> None:
    """Sets the text that the client gets with the exit code."""
    _told[:] = [answer]


def cpu_seconds() -> float:
    """CPU time of this process and of the forks that it has waited for."""
    return time.process_time() + sum(_spent)


def told() -> str:
    """The text of the last call of `tell`; empty if there was none."""
    return _told[-1] if _told else ""


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
