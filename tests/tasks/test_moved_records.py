"""Records that come with a moved or copied project serve the project where it is now, and only that one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tasks.process import sqlite_file
from tasks.process.identity import identity
from tasks.project.project import Project
from tasks.tracking import load_encoder, local_records, pipeline_run, registry, server
from tests.tasks.records import execute, opened
from tests.tasks.test_registry import trained

PLACES = (
    "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs UNION SELECT source "
    "FROM model_versions"
)
AWKWARD = "a ?b#c%41 é"


def registered(root: Path, key: str = "key") -> torch.nn.Module:
    """A run that has recorded and registered an encoder."""
    encoder = trained(root / "encoder", 0)
    run = opened(root, key)
    registry.register_encoder(Project(root), "world.rotation", root / "encoder", run.run_id)
    run.finish({})
    return encoder


def places(root: Path) -> set[str]:
    return {place for (place,) in execute(root, PLACES)}


def files(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in (root / ".covey/mlruns").rglob("*") if path.is_file())


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere") / AWKWARD


def test_a_copy_records_in_its_own_place_and_leaves_the_original_alone(root: Path, elsewhere: Path, capsys) -> None:
    registered(root)
    before = files(root), places(root)
    shutil.copytree(root, elsewhere)
    registered(elsewhere, "other")
    assert (files(root), places(root)) == before
    assert len(files(elsewhere)) == 2 * len(before[0])
    assert {place.partition("/.covey")[0] for place in places(elsewhere)} == {elsewhere.as_uri()}
    assert capsys.readouterr().err.count(f"This project was in {root} before") == 1


def test_a_moved_project_reads_its_encoders(root: Path, elsewhere: Path) -> None:
    images = torch.rand(2, 3, 16, 16)
    encoder = registered(root)
    shutil.move(root, elsewhere)
    assert torch.equal(load_encoder("world.rotation", root=elsewhere)(images), encoder(images))
    assert not root.exists()


def test_what_lies_elsewhere_by_choice_stays(root: Path, elsewhere: Path) -> None:
    run = opened(root)
    own, strange = "file:///other/.covey/mlruns", "s3://bucket/.covey/mlruns/1"
    execute(root, f"UPDATE runs SET artifact_uri = '{strange}'")
    assert local_records.settle_places(server.database(Project(root)), server.artifacts(Project(root))) is None
    shutil.copytree(root, elsewhere)
    server.settle_places(Project(elsewhere), server.local_uri(Project(elsewhere)))
    assert execute(elsewhere, "SELECT artifact_uri FROM runs") == [(strange,)]
    execute(root, f"UPDATE runs SET artifact_uri = '{server.artifacts(Project(root))}-of-another/1'")
    local_records.settle_places(server.database(Project(root)), own)
    assert not execute(root, f"SELECT artifact_uri FROM runs WHERE artifact_uri LIKE '{own}%'"), "only a like beginning"
    assert run.run_id


def test_another_projects_records_are_not_taken_over(root: Path, elsewhere: Path) -> None:
    before = places(root)
    server.connect(Project(elsewhere), server.local_uri(Project(root)))  # as points of a sweep do
    assert places(root) == before


def test_a_stage_that_a_kill_cut_off_goes_on_with_its_run_after_a_move(root: Path, elsewhere: Path) -> None:
    run = opened(root, tags={"covey.test": "before"})
    (root / "work" / "abc" / "journal.jsonl").write_text('{"step": 0, "time": 1.0, "values": {"loss": 1.0}}\n')
    run.sync(run.journal)
    shutil.move(root, elsewhere)
    again = opened(elsewhere)
    assert again.run_id == run.run_id
    again.finish({})
    assert execute(elsewhere, "SELECT status FROM runs") == [("FINISHED",)]


def test_awkward_paths_hold_the_database_and_nothing_else_appears(
    elsewhere: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = server.initialise(Project(elsewhere))
    encoder = registered(elsewhere)
    assert server.database(Project(elsewhere)).stat().st_size >= template.stat().st_size
    assert sqlite_file.path_of(uri) == server.database(Project(elsewhere))
    assert torch.equal(load_encoder("world.rotation")(torch.ones(1, 3, 16, 16)), encoder(torch.ones(1, 3, 16, 16)))
    assert [path.name for path in elsewhere.parent.iterdir()] == [AWKWARD]
    assert sorted(path.name for path in elsewhere.iterdir()) == [".covey", "encoder", "work"]


@pytest.mark.parametrize("local", [True, False])
def test_runs_of_an_ended_container_are_closed_where_no_other_machine_writes(
    root: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    monkeypatch.setattr(server, "is_local", lambda _: local)
    project = Project(root)
    run = pipeline_run.start(project, "everything", {}, identity()["pid"])  # type: ignore[arg-type]
    owner = identity() | {"host": "c0ffee", "namespace": "pid:[1]", "boot": "earlier"}
    execute(root, f"UPDATE tags SET value = '{json.dumps(owner)}' WHERE key = 'covey.owner'")
    assert pipeline_run.close_dead(project) == ([run] if local else [])
