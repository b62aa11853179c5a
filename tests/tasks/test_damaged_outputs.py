"""Outputs and caches whose bytes are damaged: named with what makes them anew, or made anew without a word."""

import json
import os
from types import SimpleNamespace

import numpy
import pytest
import torch

from ssl_models.encoders import build_encoder
from tasks.artifacts import classifier
from tasks.artifacts.clusters import Clusters
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import input_shapes, read_encoder, write_encoder
from tasks.artifacts.features import Features
from tasks.process.files import UnreadableFile, remembered
from tasks.project.project import Project
from tasks.reporting import records
from tasks.settings import params
from tasks.stage import telling
from tasks.staleness import code_hash, pipeline
from tests.tasks import tiny


def write(folder):
    """One of each artifact in a folder of its own."""
    method = SimpleNamespace(
        encoder=build_encoder("resnet", depth=10, width=4), classifier=lambda: torch.nn.Linear(32, 3)
    )
    write_encoder(folder / "encoder", method, {"images": (3, 32, 32)})
    Clusters(folder / "clusters").write({"assignments": numpy.arange(99), "targets": numpy.ones((9, 9))})
    batches = [{"res5": numpy.ones((9, 30), numpy.float16)}]
    Features(folder / "features").write("train", batches, 9)
    data = folder / "data"
    data.mkdir()
    numpy.save(data / "train.images.npy", numpy.ones((3, 3, 8, 8), numpy.uint8))
    numpy.save(data / "train.labels.npy", numpy.arange(99))
    numpy.savez(data / "train.factors.npz", hue=numpy.arange(99))
    (data / "dataset.json").write_text(json.dumps({"train": 3, "shapes": {"images": [3, 8, 8]}}))


READERS = {
    "encoder/encoder.safetensors": lambda folder: read_encoder(folder / "encoder"),
    "encoder/encoder.json": lambda folder: (input_shapes(folder / "encoder"), read_encoder(folder / "encoder")),
    "encoder/head.safetensors": lambda folder: classifier.logits(folder / "encoder", numpy.ones((2, 32))),
    "clusters/assignments.npy": lambda folder: Clusters(folder / "clusters").assignments,
    "clusters/targets.npy": lambda folder: Clusters(folder / "clusters").targets,
    "features/train.res5.npy": lambda folder: Features(folder / "features").read("train", "res5"),
    "features/layers.json": lambda folder: Features(folder / "features").layers,
    "data/train.images.npy": lambda folder: Stored(folder / "data").samples("train"),
    "data/train.labels.npy": lambda folder: Stored(folder / "data").labels("train"),
    "data/train.factors.npz": lambda folder: Stored(folder / "data").factors("train"),
    "data/dataset.json": lambda folder: Stored(folder / "data").description,
}
DAMAGE = {
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "marks of a merge": lambda path: path.write_text("<<<<<<< HEAD\n{}\n=======\n"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", READERS)
def test_an_output_that_is_damaged_is_named(tmp_path, name, damage):
    write(tmp_path)
    READERS[name](tmp_path)
    damage(tmp_path / name)
    with pytest.raises(UnreadableFile, match=r"cannot be read \(.+\)") as caught:
        READERS[name](tmp_path)
    assert caught.value.path == tmp_path / name


@pytest.mark.parametrize("change", [{"name": "resnet"}, [1], {"name": "resnet", "settings": {"depth": 18}}])
def test_so_is_a_description_that_does_not_fit_its_weights(tmp_path, change):
    write(tmp_path)
    (tmp_path / "encoder/encoder.json").write_text(json.dumps(change))
    with pytest.raises(UnreadableFile, match=r"encoder\.(json|safetensors) cannot be read"):
        read_encoder(tmp_path / "encoder")


def test_a_stage_that_meets_one_is_told_which_stage_makes_it_anew(tmp_path):
    project = tiny.project(tiny.make(tmp_path / "project"))
    error = UnreadableFile(project.root / "copy.txt", " cannot be read (it ends too early)")
    fault = telling.fault_of(project, "report", error)
    assert fault.words == f"{error}; `covey run prepare --force` makes it anew"
    assert fault.final
    elsewhere = UnreadableFile(tmp_path / "elsewhere", " cannot be read")
    assert telling.fault_of(project, "report", elsewhere).words == str(elsewhere)


TEXTS = {
    "empty": b"",
    "a list": b"[1, 2]\n",
    "no text": b"\xff\xfe\x00",
    "marks of a merge": b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n",
    "deep": b"[" * 100_000,
    "another form": b'{"key": 3, "stages": [4], "report": {"x": [null]}}\n',
}


@pytest.fixture(params=TEXTS.values(), ids=TEXTS)
def text(request):
    return request.param


def test_what_is_only_remembered_is_read_as_nothing(tmp_path, text):
    path = tmp_path / "fresh.json"
    path.write_bytes(text)
    assert remembered(path) == (json.loads(text) if text.startswith(b"{") else {})
    assert remembered(tmp_path / "missing") == {}


def test_a_damaged_code_json_is_written_anew(tmp_path, text):
    tree = tmp_path
    (tree / "params.yaml").write_text("{}\n")
    (tree / "tasks").mkdir()
    (tree / "tasks" / "report.py").write_text("x = 1\n")
    code_hash.write(tree)
    good = code_hash.read(tree)
    (tree / "code.json").write_bytes(text)
    assert code_hash.read(tree) != good
    code_hash.write(tree)
    assert code_hash.read(tree) == good != {}


def test_a_damaged_memory_of_the_graph_is_made_anew(tmp_path, text):
    project = tiny.project(tiny.make(tmp_path / "project"))
    memory = project.state / "graph.json"
    found = pipeline.graph(project)
    written = memory.read_bytes()
    memory.write_bytes(text)
    assert pipeline.graph(project) == found
    assert memory.read_bytes() == written
    key = json.loads(written)["key"]
    memory.write_text(json.dumps({"key": key, "stages": [{"name": 1}]}))
    assert pipeline.graph(project) == found


def test_a_damaged_mark_of_checked_parameters_is_written_anew(tmp_path, text, monkeypatch):
    checked = []
    monkeypatch.setattr(params, "check_parameters", lambda *_: checked.append(1))
    (tmp_path / "params.yaml").write_text("{a: 1}\n")
    assert Project(tmp_path).parameters == Project(tmp_path).parameters == {"a": 1}
    (tmp_path / ".covey" / "checked").write_bytes(text)
    assert Project(tmp_path).parameters == Project(tmp_path).parameters == {"a": 1}
    assert len(checked) == 2


def test_damaged_costs_are_as_those_of_a_stage_that_did_not_run_here(tmp_path, text):
    project = Project.given(tmp_path, {"data": {"name": "world"}})
    path = project.costs("prepare")
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    assert "seconds" not in records._costs(project, "world", "prepare")


def test_layers_keep_the_encoders_order(tmp_path):
    """Not that of their names: a context comes after its convolutions."""
    features = Features(tmp_path)
    batch = {name: numpy.ones((4, 2), numpy.float16) for name in ("conv1", "conv2", "context", "pooled")}
    for split in ("train", "test"):
        assert features.write(split, [batch], 4) == 4
    assert features.layers == ("conv1", "conv2", "context", "pooled")
