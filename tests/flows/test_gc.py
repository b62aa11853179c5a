"""`covey gc` on the command line: it asks, refuses while a run is on, and with `--dry-run` changes nothing."""

from __future__ import annotations

from pathlib import Path

import dvc.repo  # noqa: F401 - its logger keeps the stream that it finds on import
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands import gc as command
from tasks.process import locks
from tasks.process.amounts import size
from tasks.project.project import Project
from tasks.settings import params
from tasks.settings.schema import ParameterError
from tasks.upkeep import models
from tests.flows import stand_in
from tests.tasks.records import execute

PARAMETERS = stand_in.PARAMETERS | {"encoder": {}, "seed": 0}

WORK = ".covey/work"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the work folder of a stage that has ended, and an object that nothing needs."""
    stand_in.install(monkeypatch.setattr)
    monkeypatch.setattr(params, "read", lambda _: PARAMETERS)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    for path, content in (
        (".dvc/cache/files/md5/01/23456789012345678901234567890123", b"x" * 50_000),
        (f"{WORK}/pretrain@rotation/0/checkpoint", b"x" * 50_000),
        (f"{WORK}/pretrain@rotation/0/done", b""),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def covey(*words: str, said: str = ""):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["gc", *words], input=said)


def held(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size == 50_000]


def freed(root: Path) -> str:
    """What the two files take on this file system, and the folder's empty mark."""
    return size(sum(path.stat().st_blocks * 512 for path in (*held(root), *root.rglob("done"))))


def test_a_dry_run_lists_and_keeps_everything(root):
    done = covey("--dry-run")
    assert done.exit_code == 0, done.output
    assert "earlier results that nothing needs" in done.stdout
    assert "checkpoints and work folders of stages" in done.stdout
    assert f"`covey gc` would free {freed(root)}." in done.stdout
    assert len(held(root)) == 2


@pytest.mark.parametrize(("said", "left"), [("n\n", 2), ("\n", 2), ("y\n", 0)])
def test_it_asks_and_no_is_the_default(root, said, left):
    expected = freed(root)
    done = covey(said=said)
    assert done.exit_code == 0, done.output
    assert f"Free {expected}? [y/N]" in done.stdout
    assert len(held(root)) == left
    assert ("Nothing was freed." in done.stdout) == bool(left)


def test_yes_does_not_ask_and_a_second_time_there_is_nothing(root):
    done = covey("--yes")
    assert done.exit_code == 0, done.output
    assert "[y/N]" not in done.stdout
    assert held(root) == []
    assert "Nothing to free." in covey("--yes").stdout


def test_while_a_run_is_on_nothing_is_touched(root):
    with locks.held(Project(root).lock("run")):
        done = covey("--yes")
        assert done.exit_code == 3
        assert "Another covey run is running" in done.stderr
        assert covey("--dry-run").exit_code == 0
    assert len(held(root)) == 2


def test_a_lock_file_that_cannot_be_read_frees_nothing(root):
    """What is needed stands there: without it everything would seem to be free."""
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  prepare:\n    outs:\n")
    done = covey("--yes")
    assert done.exit_code == 2
    assert "git checkout dvc.lock" in done.stderr
    assert len(held(root)) == 2


@pytest.mark.parametrize("text", ["30", "d", "-3d", "month", ""])
def test_an_age_that_is_none_is_refused(root, text):
    done = covey("--older-than", text, "--yes")
    assert done.exit_code == 2
    assert "give a number of days, such as 30d" in done.stderr
    assert len(held(root)) == 2


def test_days():
    assert command.days("30d") == 30.0
    assert command.days("0.5d") == 0.5
    with pytest.raises(ParameterError):
        command.days("1h")


def test_versions_of_models_are_needed_if_newest_or_named(root):
    """By hand: a has three versions, of which the second is the champion; b has one, of the same run as a's first."""
    (root / ".covey" / "mlflow.db").unlink(missing_ok=True)
    execute(root, "CREATE TABLE model_versions (name, version, run_id, current_stage)")
    execute(root, "CREATE TABLE registered_model_aliases (name, alias, version)")
    for name, version, run in (("a", 1, "r1"), ("a", 2, "r2"), ("a", 3, "r3"), ("a", 10, "r4"), ("b", 1, "r5")):
        execute(root, f"INSERT INTO model_versions VALUES ('{name}', {version}, '{run}', 'None')")
        (root / ".covey" / "mlruns" / run / "artifacts" / "encoder").mkdir(parents=True)
    execute(root, "INSERT INTO registered_model_aliases VALUES ('a', 'champion', 2)")
    found = {(one.name, one.version): one.needed for one in models.versions(Project(root))}
    assert found == {("a", 1): False, ("a", 2): True, ("a", 3): False, ("a", 10): True, ("b", 1): True}
    execute(root, "UPDATE model_versions SET run_id = 'r1' WHERE name = 'b'")  # one folder for two
    assert all(one.needed for one in models.versions(Project(root)) if one.folder.parts[-3] == "r1")


def test_a_registry_that_cannot_be_read_has_no_versions(root):
    (root / ".covey" / "mlflow.db").write_bytes(b"no database at all")
    assert models.versions(Project(root)) == []
