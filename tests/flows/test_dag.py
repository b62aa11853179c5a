"""The graph that `covey dag` prints is the pipeline's: parents before children, each with what it reads from."""

from pathlib import Path

from typer.testing import CliRunner

from flows.cli import app
from tasks.staleness import pipeline
from tests.tasks.conftest import make_project


def covey(*words):
    return CliRunner().invoke(app, ["dag", *words])


def test_the_stages_and_what_they_read_from(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path / "project"))
    lines = [line.split(maxsplit=1) for line in covey().stdout.splitlines()]
    shown = {line[0]: line[1].split(", ") if len(line) > 1 else [] for line in lines}
    assert len(lines) == len(shown) == len(pipeline.resolved(Path.cwd()))
    assert shown["atlas"][:2] == ["cluster@rotation_cf", "clusterfit@rotation_cf"]
    assert "atlas" in shown["report"]
    assert shown["code"] == []
    assert shown["extract@rotation"] == ["code", "prepare", "pretrain@rotation"]
    seen: set[str] = set()
    for name, parents in shown.items():
        assert seen.issuperset(parents), name
        seen.add(name)
    some = [line.split()[0] for line in covey("extract@rotation").stdout.splitlines()]
    assert some == ["code", "prepare", "pretrain@rotation", "extract@rotation"]
    drawn = covey("--dot").stdout
    assert drawn.count("->") == sum(map(len, shown.values()))
    assert '"pretrain@rotation" -> "extract@rotation"' in drawn


def test_an_unknown_target_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path / "project"))
    result = covey("rotatoin")
    assert result.exit_code == 2
    assert "Did you mean 'rotation'" in result.stderr
