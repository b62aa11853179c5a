"""Records that MLflow cannot use are named, with the way out, before anything is started; none is put aside."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest

from tasks.process import sqlite_file
from tasks.process.sqlite_file import Fault
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.tracking import local_records, pipeline_run, server
from tests.tasks.records import execute, opened
from tests.tasks.test_tracking_server import answering


def revision(to: str) -> Callable[[Path], None]:
    return lambda path: execute(path.parents[1], f"UPDATE alembic_version SET version_num = '{to}'") and None


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as records, records:
        records.execute("CREATE TABLE notes (text)")


FAULTS = {
    "older": (
        revision("bd07f7e963c5"),
        Fault.OLDER,
        "Copy it, then bring it up to date: mlflow db upgrade 'sqlite:///",
    ),
    "newer": (revision("ffffffffffff"), Fault.NEWER, "Install the version of MLflow that wrote it."),
    "no database": (lambda path: path.write_bytes(b"\x07" * 3000), Fault.NO_DATABASE, "Restore it from a copy"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:300_000]), Fault.DAMAGED, "Restore it from a copy"),
    "a few bytes": (lambda path: path.write_bytes(path.read_bytes()[:50]), Fault.DAMAGED, "Restore it from a copy"),
    "foreign": (foreign, Fault.FOREIGN, "If Covey is to use this file"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_is_named_with_its_file_and_what_can_be_done(root: Path, name: str) -> None:
    spoil, fault, hint = FAULTS[name]
    path = server.database(Project(root))
    spoil(path)
    content = path.read_bytes()
    with pytest.raises(ParameterError) as refused:
        pipeline_run.refuse_unusable(Project(root))
    text = str(refused.value)
    assert text.startswith(f"{path}, which holds MLflow's records, {fault.value}. {hint}")
    assert f"mv {path} {path}.aside" in text
    assert "\n" not in text
    assert path.read_bytes() == content, "the user's records are theirs"
    with pytest.raises(ParameterError, match=re.escape(fault.value)):
        server.connect(Project(root), server.local_uri(Project(root)))


def test_after_the_way_out_or_from_an_empty_file_records_start_anew(root: Path) -> None:
    path = server.database(Project(root))
    path.rename(f"{path}.aside")  # the way out that a fault's text names
    pipeline_run.refuse_unusable(Project(root))
    path.touch()
    pipeline_run.refuse_unusable(Project(root))
    opened(root).finish({})
    assert execute(root, "SELECT status FROM runs") == [("FINISHED",)]


def test_damage_that_only_shows_later_is_named_and_final(root: Path) -> None:
    """A stage that ends with a ParameterError is not tried again."""
    run = opened(root)
    path = server.database(Project(root))
    path.write_bytes(path.read_bytes()[:300_000])
    with pytest.raises(ParameterError, match=rf"{path}.*damaged or cut short.*mv {path}"):
        run.finish({})


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "/somewhere/mlruns", "file:///somewhere/mlruns"])
def test_a_folder_of_records_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(
        ParameterError, match=rf"MLFLOW_TRACKING_URI={uri} is a folder.*migrate-filestore --source {uri}"
    ):
        pipeline_run.refuse_unusable(Project(root))


@pytest.mark.parametrize("uri", ["databricks", "postgresql://host/name", "sqlite://", "sqlite:///new.db"])
def test_other_addresses_are_mlflows_to_judge(root: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    pipeline_run.refuse_unusable(Project(root))
    assert not Path("new.db").exists()


def test_the_schemas_that_are_read_as_text_are_those_of_the_packages() -> None:
    known = local_records.schema()
    assert known.head == import_module("mlflow.store.db.utils")._get_latest_schema_revision()
    assert len(known.known) > 50


def test_a_locked_file_is_not_called_a_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "TIMEOUT_SECONDS", 0.0)
    path = server.database(Project(root))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert sqlite_file.fault(path, local_records.schema()) is None


@pytest.mark.parametrize("path", ["/a/b.db", "/a b/é.db", "/a?b/c.db", "/a#b/c.db", "/a%41b/c%.db"])
def test_addresses_lead_back_to_their_files(path: str) -> None:
    from sqlalchemy import make_url

    for driver in ("", "pysqlite", "aiosqlite"):
        address = sqlite_file.address(Path(path), driver)
        assert sqlite_file.path_of(address) == Path(path)
        assert make_url(address).query in ({}, {"uri": "true"})
    assert sqlite_file.path_of("sqlite:///:memory:") is None
    assert sqlite_file.path_of("postgresql://host/a.db") is None


def test_a_server_that_wants_a_password_is_named_and_final(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(401) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(ParameterError, match=rf"{uri}.*\(HTTP 401\)\. Set MLFLOW_TRACKING_USERNAME and"):
            pipeline_run.start(Project(root), "everything", {}, os.getpid())
