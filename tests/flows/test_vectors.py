"""`covey vectors`: the file holds what the run has learnt, and every refusal is a line that comes before torch."""

import gzip
import io
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from gensim.models import KeyedVectors
from torch import Tensor, nn
from typer.testing import CliRunner

from flows.cli import app
from flows.commands import vectors as command
from ssl_models.encoders import build_encoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.modalities import words
from ssl_models.word_vectors import BINARY, TEXT, read
from tasks.artifacts import word_vectors
from tasks.artifacts.encoders import write_encoder
from tasks.process import user
from tasks.process.files import write_json
from tasks.project.project import Project
from tasks.settings import params
from tests.tasks.conftest import make_project

WORDS = ["", "the", "größe", "cat"]
PARAMETERS = {
    "data": {"name": "essays"},
    "pretrain": {"skip_gram": {}, "untrained": {}, "pictures": {}, "small": {}},
    "clusterfit": {"skip_gram_cf": {"source": "skip_gram"}},
}
LOCK = """schema: '2.0'
stages:
  prepare:
    cmd: python -m tasks prepare
    outs:
    - path: data/essays
      md5: {prepared}
  pretrain@skip_gram:
    cmd: python -m tasks pretrain skip_gram
    deps:
    - path: data/essays
      md5: {trained}
"""


class TinyWords(Encoder):
    """A table of vectors, and nothing else."""

    name = "tiny_words"
    modalities = (words,)

    def __init__(self, count: int = len(WORDS)) -> None:
        super().__init__()
        self.dim, self.settings = 5, {"count": count}
        self.table = nn.Parameter(torch.randn(count, 5))

    @property
    def vectors(self) -> Tensor:
        """(V, 5); the first is of no word."""
        return self.table * (torch.arange(len(self.table)) > 0)[:, None]

    def standardise(self, ids):
        return self.vectors[ids]

    def blocks(self):
        return {}

    def pool(self, last):
        return last.mean(1)


def call(project: Project, function: str, *arguments):
    """In this process, which knows the encoder."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)(project, *arguments)


@pytest.fixture
def learnt(tmp_path, monkeypatch):
    """The vectors of the run `skip_gram` in the project of the working folder."""
    offered = ModuleType("ssl_models.encoders.tiny_words")
    offered.ENCODER = TinyWords
    monkeypatch.setitem(sys.modules, offered.__name__, offered)
    monkeypatch.setattr(params, "read", lambda *_: PARAMETERS)
    monkeypatch.setattr(params, "check_parameters", lambda *_: None)
    monkeypatch.setattr(command, "call", call)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    write_json(tmp_path / "data" / "essays" / "dataset.json", {"shapes": {"tokens": [8]}, "known": {"words": WORDS}})
    torch.manual_seed(0)
    encoders = {"skip_gram": TinyWords(), "skip_gram_cf": TinyWords(), "small": TinyWords(2)}
    for run, encoder in encoders.items():
        method = SimpleNamespace(encoder=encoder, classifier=lambda: None)
        write_encoder(tmp_path / "runs" / "essays" / run / "encoder", method, {"tokens": (8,)})
    pictures = SimpleNamespace(encoder=build_encoder("resnet", depth=10, width=4), classifier=lambda: None)
    write_encoder(tmp_path / "runs" / "essays" / "pictures" / "encoder", pictures, {"images": (3, 32, 32)})
    return encoders["skip_gram"].vectors.detach().numpy()[1:]


def covey(*given):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["vectors", *map(str, given)])


def refused(*given):
    """The one line that says why; nothing is written, but for logs and what Python compiles."""
    before = sorted(Path.cwd().rglob("*"))
    result = covey(*given)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("covey: ")
    (line,) = result.stderr.splitlines()
    new = [path for path in sorted(Path.cwd().rglob("*")) if path not in before]
    assert [path for path in new if not {".covey", "__pycache__"} & set(path.parts)] == []
    return line


def test_help_teaches():
    result = covey("--help")
    assert result.exit_code == 0
    for taught in ("covey vectors skip_gram vectors.bin", "load_word2vec_format", ".gz", "--force"):
        assert taught in result.output


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.vec", "v.bin.gz", "v.txt.gz"])
def test_gensim_reads_what_is_written(learnt, name):
    result = covey("skip_gram", name)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"3 words of 5 numbers each: {Path.cwd() / name}\n"
    there = KeyedVectors.load_word2vec_format(name, binary=".bin" in name)
    assert there.index_to_key == WORDS[1:]
    assert (there.vectors == learnt).all()


def test_a_refit_has_vectors_too(learnt):  # noqa: ARG001
    assert covey("skip_gram_cf", "v.bin").exit_code == 0


def test_the_same_vectors_give_the_same_bytes(learnt):
    for name in ("a.txt.gz", "b.vec.gz"):
        assert covey("skip_gram", name).exit_code == 0
    assert Path("a.txt.gz").read_bytes() == Path("b.vec.gz").read_bytes()
    words_read, vectors = read(io.BytesIO(gzip.decompress(Path("a.txt.gz").read_bytes())), TEXT)
    assert words_read == WORDS[1:]
    assert (vectors == learnt).all()


def test_a_file_is_written_over_only_with_force(learnt):
    Path("v.bin").write_text("mine")
    assert "v.bin cannot be written: it is there already; --force writes over it." in refused("skip_gram", "v.bin")
    assert Path("v.bin").read_text() == "mine"
    assert covey("skip_gram", "v.bin", "--force").exit_code == 0
    with Path("v.bin").open("rb") as file:
        assert (read(file, BINARY)[1] == learnt).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("skip_grm", "v.bin"), "unknown run 'skip_grm'. Did you mean 'skip_gram'?"),
        (
            ("untrained", "v.bin"),
            "'untrained' is not trained on the data set 'essays' yet; `covey run untrained` does.",
        ),
        (("pictures", "v.bin"), "the encoder of 'pictures', 'resnet', has no vectors of words"),
        (("small", "v.bin"), "has vectors of 2 words, and the data set 'essays' has 4; `covey run small --force`"),
        (
            ("skip_gram", "v.npy"),
            "the suffix of 'v.npy' tells no format; use .txt, .vec, .bin, or one of these with .gz",
        ),
        (("skip_gram", "v"), "tells no format"),
        (("skip_gram", "data"), "tells no format"),
        (("skip_gram", "nowhere/v.bin"), "nowhere/v.bin cannot be written: its folder is not there; make it first."),
        (("skip_gram", "dvc.yaml/v.bin"), "its folder is not there"),
        (("skip_gram", "v" * 300 + ".bin"), "File name too long"),
        (("skip_gram", "v\n.npy"), r"v\n.npy"),
        (("skip_gram", os.fsdecode(b"v\xe9.bin")), "its name is not UTF-8"),
    ],
)
def test_what_cannot_be_is_refused(learnt, given, told):  # noqa: ARG001
    assert told in refused(*given)


def test_a_folder_is_refused(learnt):  # noqa: ARG001
    Path("v.bin").mkdir()
    assert "v.bin cannot be written: it is a folder." in refused("skip_gram", "v.bin", "--force")


@pytest.mark.parametrize(("closed", "told"), [(".", "into its folder"), ("v.bin", "it")])
def test_without_the_right_to_write_it_is_refused(learnt, closed, told, monkeypatch):  # noqa: ARG001
    Path("v.bin").touch()
    path = (Path.cwd() / closed).resolve()
    monkeypatch.setattr(user, "may", lambda asked, _: asked != path)
    assert f"user {os.getuid()} may not write {told}." in refused("skip_gram", "v.bin", "--force")


def test_a_run_that_does_not_apply_says_why(learnt):  # noqa: ARG001
    folder = Path("runs/essays/untrained/encoder")
    folder.mkdir(parents=True)
    (folder / "NOT_APPLICABLE").write_text("it reads images, and these samples have tokens\n")
    assert "has no encoder on the data set 'essays': it reads images, and these" in refused("untrained", "v.bin")


def test_a_fault_of_the_system_leaves_no_file(learnt, monkeypatch):  # noqa: ARG001
    def fails(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(word_vectors.word_vectors, "write", fails)
    assert "v.txt cannot be written: Permission denied." in refused("skip_gram", "v.txt")


def test_a_word_with_a_blank_is_refused(learnt):  # noqa: ARG001
    described = {"shapes": {"tokens": [8]}, "known": {"words": ["", "the", "new york", "cat"]}}
    write_json(Path("data/essays/dataset.json"), described)
    assert "the word 'new york' is empty or has a blank in it" in refused("skip_gram", "v.txt")


@pytest.mark.parametrize("run", ["skip_gram", "skip_gram_cf"])
def test_vectors_of_other_words_than_those_of_the_data_are_refused(learnt, run):  # noqa: ARG001
    lock = LOCK.replace("pretrain@skip_gram", f"clusterfit@{run}") if run.endswith("_cf") else LOCK
    Path("dvc.lock").write_text(lock.format(prepared="0a.dir", trained="0b.dir"))
    assert f"the data set 'essays' was prepared anew since '{run}' was trained" in refused(run, "v.bin")
    Path("dvc.lock").write_text(lock.format(prepared="0a.dir", trained="0a.dir"))
    assert covey(run, "v.bin").exit_code == 0


@pytest.mark.parametrize("lock", ["not a lock file\n", LOCK.replace("data/essays", "data/other")])
def test_a_lock_file_that_does_not_tell_keeps_nothing_from_being_written(learnt, lock):  # noqa: ARG001
    Path("dvc.lock").write_text(lock.format(prepared="0a.dir", trained="0b.dir"))
    assert covey("skip_gram", "v.bin").exit_code == 0


def test_a_damaged_encoder_is_named(learnt):  # noqa: ARG001
    weights = Path("runs/essays/skip_gram/encoder/encoder.safetensors")
    weights.write_bytes(weights.read_bytes()[:40])
    result = covey("skip_gram", "v.bin")
    assert result.exit_code == 1
    assert f"{weights.absolute()} cannot be read" in result.stderr
    assert "Traceback" not in result.output
    assert not Path("v.bin").exists()


def test_a_project_that_may_only_be_read_gives_its_vectors(learnt, tmp_path, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr(user, "may", lambda path, _: path != Path.cwd())
    (tmp_path / "other").mkdir()
    assert covey("skip_gram", "other/v.bin").exit_code == 0


def test_a_refusal_does_not_wait_for_torch(learnt, tmp_path):  # noqa: ARG001
    code = f"""
import sys
from pathlib import Path
import flows.cli
from tasks.artifacts import word_vectors
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
try:
    word_vectors.refuse(Project.given(Path("."), {PARAMETERS}), "skip_gram", Path("v.npy"), force=False)
except ParameterError as error:
    print(error)
print(sorted({{"torch", "prefect", "mlflow"}} & set(sys.modules)))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    refusal, imported = done.stdout.splitlines()
    assert "tells no format" in refusal
    assert imported == "[]"


def test_it_is_carried_out_apart_and_its_refusals_come_back(tmp_path, monkeypatch):
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project)
    write_json(project / "data" / "world" / "dataset.json", {"shapes": {"images": [3, 32, 32]}})
    method = SimpleNamespace(encoder=build_encoder("resnet", depth=10, width=4), classifier=lambda: None)
    write_encoder(project / "runs" / "world" / "rotation" / "encoder", method, {"images": (3, 32, 32)})
    assert "the encoder of 'rotation', 'resnet', has no vectors of words; 'bag' has." in refused("rotation", "v.bin")


def test_words_and_vectors_agree_by_their_ids(learnt):
    assert np.abs(learnt).min() > 0
    assert covey("skip_gram", "v.vec").exit_code == 0
    assert Path("v.vec").read_text().splitlines()[1].split(" ")[:2] == ["the", str(learnt[0][0])]
