"""`covey export`: what it prints, and every refusal is a line that comes before torch."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands import export as command
from tasks.process.files import write_json
from tasks.settings import params
from tests.tasks.exporting import trained

RUNS = ("small", "texts")
PARAMETERS = trained.given_parameters(*RUNS, "untrained", "without")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The working folder, a project of trained runs; what a command calls runs in this process."""

    def call(project, function, *arguments):
        module, _, name = function.partition(":")
        return getattr(import_module(module), name)(project, *arguments)

    monkeypatch.setattr(params, "read", lambda *_: PARAMETERS)
    monkeypatch.setattr(params, "check_parameters", lambda *_: None)
    monkeypatch.setattr(command, "call", call)
    monkeypatch.chdir(tmp_path)
    made = trained.make(tmp_path, *RUNS)
    mark = tmp_path / "runs" / "photos" / "without" / "encoder" / "NOT_APPLICABLE"
    mark.parent.mkdir(parents=True)
    mark.write_text("it reads images, and these samples have tokens\n")
    return made


def covey(*given):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", *map(str, given)])


def refused(*given):
    """The one line that says why; nothing is written."""
    before = sorted(Path.cwd().rglob("*"))
    result = covey(*given)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("covey: ")
    (line,) = result.stderr.splitlines()
    assert [path for path in sorted(Path.cwd().rglob("*")) if path not in before and ".covey" not in path.parts] == []
    return line


def test_help_teaches():
    result = covey("--help")
    assert result.exit_code == 0
    for taught in ("covey export rotation --to timm -o rotation", "torchvision", "onnx", "safetensors", "--force"):
        assert taught in result.output


def test_an_export_is_written_checked_and_replaced_with_force(project):  # noqa: ARG001
    result = covey("small", "--to", "safetensors", "-o", "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{Path.cwd() / 'out'}: loads as README.md there says, and gives the encoder's")
    assert Path("out/README.md").read_text().startswith("---\nlibrary_name: pytorch\n")
    assert "out cannot be written: it is not empty; --force" in refused("small", "--to", "timm", "-o", "out")
    Path("out/mine.txt").touch()
    assert "it holds 'mine.txt'" in refused("small", "--to", "timm", "-o", "out", "--force")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("smal", "--to", "timm", "-o", "out"), "covey export: unknown run 'smal'. Did you mean 'small'?"),
        (("small", "--to", "tim", "-o", "out"), "covey export --to: unknown format 'tim'. Did you mean 'timm'?"),
        (
            ("untrained", "--to", "timm", "-o", "out"),
            "'untrained' is not trained on the data set 'photos' yet; `covey run untrained` does.",
        ),
        (("without", "--to", "timm", "-o", "out"), "has no encoder on the data set 'photos': it reads images, and"),
        (("small", "--to", "torchvision", "-o", "out"), "use --to timm or onnx or safetensors."),
        (("small", "--to", "timm", "-o", "dvc.yaml"), "dvc.yaml cannot be written: it is there and is no folder."),
        (("small", "--to", "timm", "-o", "no/out"), "the folder that it is to lie in is not there; make it first."),
        (("small", "--to", "timm", "-o", "."), "cannot be written: it is not empty"),
        (("small", "--to", "timm", "-o", ".", "--force"), "which is of no earlier export; name another folder."),
        (("small", "--to", "timm", "-o", "o" * 300), "File name too long"),
        (("small", "--to", "timm", "-o", os.fsdecode(b"o\xe9")), "its name is not UTF-8"),
    ],
)
def test_what_cannot_be_is_refused(project, given, told):  # noqa: ARG001
    assert told in refused(*given)


def test_words_of_data_prepared_anew_are_refused(project):  # noqa: ARG001
    lock = "schema: '2.0'\nstages:\n"
    for stage, kind, md5 in (("prepare", "outs", "0a"), ("pretrain@texts", "deps", "0b")):
        lock += f"  {stage}:\n    cmd: python\n    {kind}:\n    - path: data/photos\n      md5: {md5}\n"
    Path("dvc.lock").write_text(lock)
    assert "was prepared anew since 'texts' was trained" in refused("texts", "--to", "onnx", "-o", "out")


def test_a_damaged_encoder_is_named(project):
    path = project.places.encoder("small") / "encoder.json"
    for content in ("{", "[]"):
        path.write_text(content)
        result = covey("small", "--to", "timm", "-o", "out")
        assert result.exit_code == 1
        assert f"{path} cannot be read" in result.stderr
        assert "Traceback" not in result.output
    assert not Path("out").exists()


def test_an_encoder_of_two_parts_is_refused(project):
    path = project.places.encoder("small") / "encoder.json"
    described = {"name": "resnet", "settings": {"width": 4}, "shapes": {"images": [3, 8, 8], "sound": [8]}}
    write_json(path, described)
    assert "reads images and sound" in refused("small", "--to", "onnx", "-o", "out")


def test_a_refusal_does_not_wait_for_torch(project, tmp_path):  # noqa: ARG001
    code = f"""
import sys
from pathlib import Path
import flows.cli
from tasks.exporting import formats, options
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
for to in options.FORMS:
    try:
        formats.refuse(Project.given(Path("."), {PARAMETERS}), "small", to, Path("dvc.yaml"), force=False)
    except ParameterError as error:
        print(error)
print(sorted({{"torch", "prefect", "mlflow", "onnx", "timm"}} & set(sys.modules)))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    *refusals, imported = done.stdout.splitlines()
    assert len(refusals) == 4
    assert imported == "[]"
