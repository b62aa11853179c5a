"""What stands between Covey and a Prefect server: proxies, a database that cannot be used, a server that refuses."""

from __future__ import annotations

import asyncio
import http.server
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from flows.errors import ServerError
from flows.prefect_server import environment, server
from tasks.process import sqlite_file
from tasks.project.project import Project
from tests.tasks.test_tracking_server import answering

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without what the user of this machine has set; and what `settle` sets is gone after the test."""
    with monkeypatch.context() as patch:
        for name in (*PROXIES, *map(str.upper, PROXIES), "PREFECT_API_URL", *environment.DATABASES):
            patch.setenv(name, "")  # so that it is given back even if only the test sets it
            patch.delenv(name)
        patch.setenv("PREFECT_HOME", os.environ.get("PREFECT_HOME", ""))
        yield


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "corp.example"}, "corp.example,127.0.0.1,localhost"),
        ({"no_proxy": "localhost, .corp.example"}, "localhost,.corp.example,127.0.0.1"),
        ({"no_proxy": "*", "NO_PROXY": "*"}, "*,127.0.0.1,localhost"),
    ],
)
def test_own_servers_are_asked_without_a_proxy(tmp_path, monkeypatch, given, found):
    for name, value in {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", **given}.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        environment.settle(Project(tmp_path))
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (found, found)
    with answering(200) as address:
        assert httpx.get(address).status_code == 200
        assert server.answers(address)
        assert server.answers(address.replace("127.0.0.1", "localhost"))


def test_each_spelling_keeps_what_the_user_has_there(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "a.example")
    monkeypatch.setenv("NO_PROXY", "b.example")
    environment.settle(Project(tmp_path))
    assert os.environ["no_proxy"] == "a.example,127.0.0.1,localhost"
    assert os.environ["NO_PROXY"] == "b.example,127.0.0.1,localhost"


@pytest.mark.parametrize(
    ("proxy", "usable"),
    [
        ("socks5://me:secret@127.0.0.1:9", False),
        ("socks4://127.0.0.1:9", False),
        ("https://127.0.0.1:9", True),
        ("127.0.0.1:9", True),
    ],
)
def test_a_proxy_that_prefect_cannot_even_leave_out_is_named(tmp_path, monkeypatch, proxy, usable):
    monkeypatch.setattr(environment, "find_spec", lambda _: None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    if usable:
        environment.settle(Project(tmp_path))
        return
    with pytest.raises(ServerError, match=r"all_proxy .* socks.*env -u all_proxy -u ALL_PROXY covey") as refused:
        environment.settle(Project(tmp_path))
    assert "secret" not in str(refused.value)
    monkeypatch.setenv("no_proxy", "*")
    environment.settle(Project(tmp_path))


def database(root: Path) -> Path:
    (root / ".covey" / "prefect").mkdir(parents=True)
    return root / ".covey" / "prefect" / "prefect.db"


def filled(path: Path, revision: str) -> bytes:
    with closing(sqlite3.connect(path)) as records, records:
        records.execute("CREATE TABLE alembic_version (version_num)")
        records.execute(f"INSERT INTO alembic_version VALUES ('{revision}')")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["not a database", "newer"])
def test_an_unusable_database_of_prefect_is_put_aside_with_a_line(tmp_path, capsys, kind):
    path = database(tmp_path)
    content = filled(path, "ffffffffffff")
    if kind == "not a database":
        content = b"\x07" * 5000
        path.write_bytes(content)
        path.with_name("prefect.db-wal").write_bytes(b"its log")
    chosen = environment.database(Project(tmp_path))
    assert chosen == {environment.DATABASES[0]: f"sqlite+aiosqlite:///{path}"}
    aside, *beside = sorted(path.parent.iterdir())
    assert aside.match("prefect.db.????????-??????")
    assert aside.read_bytes() == content
    assert [part.name for part in beside] == ([f"{aside.name}-wal"] if kind == "not a database" else [])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}, Prefect's database, ")
    assert f"It is now {aside.name}, " in line


def test_a_database_that_prefect_can_use_stays(tmp_path, monkeypatch, capsys):
    path = database(tmp_path)
    schema = sqlite_file.schema("prefect", "server/database/_migrations/versions/sqlite")
    assert len(schema.known) > 50
    for revision in schema.head, min(schema.known - {schema.head}):  # Prefect brings an older one up to date
        content = filled(path, revision)
        environment.database(Project(tmp_path))
        assert path.read_bytes() == content
        path.unlink()
    path.write_bytes(b"\x07" * 5000)
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://host/prefect")
    assert environment.database(Project(tmp_path)) == {}
    assert path.exists(), "it is not in use"
    assert not capsys.readouterr().err


def test_an_awkward_path_holds_the_database_and_nothing_else_appears(tmp_path, monkeypatch):
    root = tmp_path / "a ?b#c%41 é"
    path = database(root)
    monkeypatch.chdir(tmp_path)
    (address,) = environment.database(Project(root)).values()

    async def write() -> None:
        engine = create_async_engine(address)
        async with engine.begin() as records:
            await records.execute(text("CREATE TABLE flow (name)"))
        await engine.dispose()

    asyncio.run(write())
    assert path.stat().st_size > 0
    assert list(tmp_path.iterdir()) == [root]


@contextmanager
def refusing(status: int) -> Iterator[tuple[str, list[str | None]]]:
    """A server that is healthy, and answers whatever else it is asked with `status`; the keys that it was given."""
    asked: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" and status == 401 else status)
            self.end_headers()

        def do_POST(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer((environment.LOOPBACK, 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://{environment.LOOPBACK}:{one.server_address[1]}", asked
        one.shutdown()


@pytest.mark.parametrize(
    ("status", "words"), [(401, "wants a key"), (403, "does not let this user in"), (404, "is no Prefect API")]
)
def test_a_server_that_refuses_is_not_waited_for(tmp_path, monkeypatch, status, words):
    monkeypatch.setattr(server.time, "sleep", lambda _: pytest.fail("it is waited for"))
    with refusing(status) as (address, _):
        monkeypatch.setenv("PREFECT_API_URL", f"{address}/api")
        with pytest.raises(ServerError, match=rf"{address}/api.*{words} \(HTTP {status}\).*unset PREFECT_API_URL"):
            server.running(Project(tmp_path)).__enter__()
        if status != 401:  # also if it refuses only later
            with pytest.raises(ServerError, match=words):
                server.Server(f"{address}/api").wait_until_up()


def test_an_address_that_is_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "localhost:4200")
    with pytest.raises(ServerError, match=r"PREFECT_API_URL=localhost:4200 is no address.*http://HOST:4200/api"):
        server.running(Project(tmp_path)).__enter__()


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"PREFECT_API_KEY": "pnu_1"}, "Bearer pnu_1"),
        ({"PREFECT_API_AUTH_STRING": "me:word"}, "Basic bWU6d29yZA=="),
        ({}, None),
    ],
)
def test_the_users_key_goes_with_the_question(tmp_path, monkeypatch, given, header):
    for name in ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, given.get(name, ""))
    with refusing(200) as (address, asked):
        monkeypatch.setenv("PREFECT_API_URL", f"{address}/api/")
        with server.running(Project(tmp_path)) as one:
            assert one.address == f"{address}/api"
        assert asked == [header]


def test_only_ones_own_server_on_an_own_disk_is_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert not server.own_here()
    monkeypatch.setattr(server, "_started", {"http://127.0.0.1:1/api"})
    monkeypatch.setattr(server.processes, "is_local", lambda _: True)
    assert server.own_here()
    monkeypatch.setattr(server.processes, "is_local", lambda _: False)
    assert not server.own_here()
