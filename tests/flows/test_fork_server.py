"""Who is behind the address of the fork server: only the process that was started gets a command and its secrets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks.process import fork_client, said
from tasks.process.fork_client import ADDRESS, Fork, delegate, fork_server
from tasks.project.project import Project
from tasks.stage.apart import call

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")

CHECKOUT = Path(__file__).parents[2]
NOBODY = 65534
IMPOSTOR = """
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("")
listener.listen()
print(listener.getsockname()[1:].decode(), flush=True)
listener.settimeout(60)
connection, _ = listener.accept()
print(connection.recv(1000), flush=True)
"""
CUSTOMER = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect("\\0" + sys.argv[1])
connection.settimeout(60)
print(connection.recv(1000))
"""


def words_of(user: int, *words: str) -> list[str]:
    """A Python program that runs as this user."""
    if user == os.geteuid():
        return [sys.executable, *words]
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be another user")
    python = shutil.which("python3", path="/usr/bin:/bin")  # this one may lie where others cannot read
    if python is None:
        pytest.skip("no Python that another user can run")
    return ["setpriv", f"--reuid={user}", "--clear-groups", python, *words]


@pytest.fixture(params=["the same user", "another user"])
def impostor(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen, str]]:
    """A process that listens in the server's place, and the address."""
    words = words_of(os.geteuid() if request.param == "the same user" else NOBODY, "-c", IMPOSTOR)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def answer(_: Project) -> int:
    return os.getpid()


def test_an_impostor_gets_nothing_and_the_work_is_done_without_it(impostor, tmp_path, monkeypatch, capsys):
    process, address = impostor
    monkeypatch.setattr(said, "_said", set())
    monkeypatch.setenv(ADDRESS, f"{os.getpid()}:{address}")  # a server that lives; its address is another's
    monkeypatch.setenv("SECRET", "key")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    assert call(Project(tmp_path), f"{__name__}:answer") != os.getpid()
    assert process.stdout.readline().strip() == "b''"
    assert f"process {process.pid} of user" in capsys.readouterr().err


def test_a_stage_starts_by_itself_where_an_impostor_listens(impostor, monkeypatch, capsys):
    process, address = impostor
    monkeypatch.setattr(said, "_said", set())
    monkeypatch.setenv(ADDRESS, f"{os.getpid()}:{address}")
    assert delegate(["prepare"]) is None
    assert process.stdout.readline().strip() == "b''"
    assert "nothing was sent to it" in capsys.readouterr().err


def test_another_user_gets_nothing_done(fork):
    _, _, address = fork[ADDRESS].partition(":")
    done = subprocess.run(words_of(NOBODY, "-c", CUSTOMER, address), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "b''"


def test_no_command_line_tells_the_address(fork):
    server = fork_server(fork)
    assert server is not None
    for process in psutil.process_iter(["cmdline"]):
        assert not any(server.address == word or f":{server.address}" in word for word in process.info["cmdline"] or ())


def test_a_server_that_has_ended_sends_its_client_on(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    server = fork_client.Server(ended.pid, "nobody")
    with pytest.raises(OSError, match="has ended"):
        Fork(server, ["call"], tmp_path, {}, 1)
