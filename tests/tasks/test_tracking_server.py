from __future__ import annotations

import http.server
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasks.process.stopping import Stopped, obeyed
from tasks.tracking.server import call, reachable


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def answering(status: int) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_reachable() -> None:
    assert reachable("sqlite:////tmp/mlflow.db")
    assert not reachable(closed_port())
    for status, answers in ((200, True), (401, True), (503, False)):
        with answering(status) as uri:
            assert reachable(uri) is answers
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never says a word
        start = time.monotonic()
        assert not reachable(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3)
        assert 0.3 <= time.monotonic() - start < 3, "not the default of 3 s"


def test_a_locked_database_is_waited_for_and_other_errors_are_not() -> None:
    calls = []

    def function(error: str) -> str:
        calls.append(error)
        if len(calls) < 3:
            raise RuntimeError(error)
        return "done"

    assert call(function, "(sqlite3.OperationalError) database is locked") == "done"
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(RuntimeError, match="disk is full"):
        call(function, "disk is full")
    assert len(calls) == 1


def test_a_signal_does_not_cut_off_what_mlflow_writes() -> None:
    done = []

    def write() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append("written")

    with pytest.raises(Stopped), obeyed():
        call(write)
    assert done == ["written"]
