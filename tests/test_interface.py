"""`import covey`: the same words as on the command line, the same refusals, and the report's own sentences."""

import json
import re
from pathlib import Path

import pytest
from pyarrow import parquet, table

import covey
from tasks.settings import params
from tests.tasks.study import LEVELS, make, parameters, written

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A project with a report, its parameters and its page."""
    root = tmp_path_factory.mktemp("done")
    content = parameters(list(LEVELS), ["world"])
    make(root, "world", content)
    page, _ = written(root, content)
    (root / "dvc.yaml").touch()
    (root / "results" / "report.html").write_text(page)
    return root, content, page


@pytest.fixture
def project(done, monkeypatch):
    root, content, _ = done
    monkeypatch.setattr(params, "read", lambda *_: content)
    monkeypatch.setattr(params, "check_parameters", lambda *_: None)
    return root


@pytest.fixture
def asked(monkeypatch):
    """The words of every command, none of which is run."""
    found = []
    monkeypatch.setattr(covey, "_command", lambda _project, *words: found.append(words))
    return found


def test_the_verdict_is_that_of_the_page(project, done):
    found = covey.verdict(project=project)
    page = re.sub(r"</?code>", "", done[2]).replace("&#39;", "'")
    assert found.data == "world"
    assert found.winner in found.answer
    for sentence in (found.answer, *found.sure, found.cost, *(step.replace("`", "") for step in found.next_steps)):
        assert sentence.replace("'", "&#39;") in done[2] or sentence in page
    assert str(found).splitlines()[0] == found.answer
    assert str(found).endswith(f"Report: {found.page}")


def test_scores_are_the_rows_of_the_table(project):
    rows = covey.scores(project=project)
    best = {
        (row["run"], row["layer"]): row["value"] for row in rows if (row["protocol"], row["metric"]) == ("knn", "top1")
    }
    for (run, layer), value in best.items():
        stored = json.loads((project / "metrics" / "world" / run / "knn.json").read_text())["scores"]
        assert value in [entry["value"] for entry in stored if entry["layer"] == layer and entry["metric"] == "top1"]
    assert all(isinstance(row["low"], float) for row in rows)


def test_what_is_asked_for_becomes_the_options_of_the_command(project, asked):
    covey.run(
        "photos",
        labels="none",
        size=64,
        runs="all",
        targets=["rotation", "linear"],
        jobs=1,
        force=True,
        project=project,
    )
    words = "run rotation linear --data photos --labels none --size 64 --runs all --jobs 1 --force"
    assert asked == [tuple(words.split())]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder that is not the project's."""
    (folder := tmp_path / "here").mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_paths_count_from_the_callers_folder(project, asked, here):
    (here / "photos").mkdir()
    for name in ("a.csv", "b.CSV", "set-000.tar", "set-001.tar"):
        (here / name).touch()
    covey.run("photos", labels="a.csv", group=Path("b.CSV"), project=project)
    covey.run("../here/photos", project=project)
    covey.run("set-{000..001}.tar", project=project)
    assert asked == [
        ("run", "--data", f"{here}/photos", "--labels", f"{here}/a.csv", "--group", f"{here}/b.CSV"),
        ("run", "--data", f"{here}/../here/photos"),
        ("run", "--data", f"{here}/set-{{000..001}}.tar"),
    ]


def test_names_keywords_and_what_is_not_there_are_passed_on(project, done, asked, here, monkeypatch):
    monkeypatch.setattr(params, "read", lambda *_: done[1] | {"datasets": {"world": {}}})
    for name in ("world", "none", "folder"):
        (here / name).mkdir()
    (project / "inside").mkdir(exist_ok=True)
    covey.run("world", labels="none", group="folder", project=project)
    for data in ("inside", "set-{0..}", "", "a\0b", "~nobody-of-this-name/x"):
        covey.run(data, labels="gone.csv", project=project)
        assert asked.pop() == ("run", "--data", data, "--labels", "gone.csv")
    assert asked == [("run", "--data", "world", "--labels", "none", "--group", "folder")]


def test_a_run_without_options_has_none(project, asked):
    covey.run(project=project)
    assert asked == [("run",)]


def test_export_gives_the_folder(project, asked, tmp_path):
    assert covey.export("rotation", to="onnx", folder=tmp_path / "model", project=project) == tmp_path / "model"
    assert asked == [("export", "rotation", "--to", "onnx", "--output", str(tmp_path / "model"))]


def test_embed_reads_what_the_command_wrote(project, monkeypatch, tmp_path):
    found = []

    def command(_project, *words):
        found.append(words)
        parquet.write_table(table({"file": ["a.png"]}), words[words.index("--output") + 1])

    monkeypatch.setattr(covey, "_command", command)
    assert covey.embed("rotation", "a.png", project=project, coordinates=False)["file"].to_pylist() == ["a.png"]
    covey.embed("rotation", output=tmp_path / "kept.parquet", neighbours=3, project=project)
    assert (tmp_path / "kept.parquet").exists()
    assert found[0][:4] == ("embed", "rotation", str(Path("a.png").absolute()), "--force")
    assert found[0][-1] == "--no-coordinates"
    assert found[1][found[1].index("--neighbours") + 1] == "3"


def test_a_mistake_is_raised_in_the_words_of_the_command(capfd):
    with pytest.raises(covey.Mistake, match=r"run 'rotatoin'.*rotation"):
        covey.embed("rotatoin", project=ROOT)
    assert "covey: " in capfd.readouterr().out


def test_options_that_the_command_line_does_not_know_are_mistakes():
    with pytest.raises(covey.Mistake, match="size"):
        covey.run(size=0, project=ROOT)


def test_a_verdict_without_a_winner_gives_no_run_to_take(tmp_path):
    for function in (
        lambda: covey.embed(None, project=ROOT),
        lambda: covey.export(None, to="onnx", folder=tmp_path / "model", project=ROOT),
        lambda: covey.encoder(None, project=ROOT),
    ):
        with pytest.raises(covey.Mistake, match=r"run: None is no name of a run\. The winner of a verdict is None"):
            function()


def test_places_that_are_no_project(tmp_path):
    with pytest.raises(covey.Mistake, match=r"no dvc\.yaml"):
        covey.verdict(project=tmp_path)
    with pytest.raises(covey.Mistake, match="no folder"):
        covey.scores(project=tmp_path / "nowhere")
    with pytest.raises(covey.Mistake, match="rotation"):
        covey.encoder("rotatoin", project=ROOT)


def test_without_a_report_there_is_no_verdict(tmp_path, done, monkeypatch):
    monkeypatch.setattr(params, "read", lambda *_: done[1])
    monkeypatch.setattr(params, "check_parameters", lambda *_: None)
    (tmp_path / "dvc.yaml").touch()
    for function in (covey.verdict, covey.scores):
        with pytest.raises(covey.Mistake, match=r"`covey\.run\(\)` writes it"):
            function(project=tmp_path)
