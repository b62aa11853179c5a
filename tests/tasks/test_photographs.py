"""A person's photographs go the whole way, at 96 pixels, with a ResNet-50 and a ViT that somebody else has trained."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import yaml
from pyarrow import parquet

from tasks.process.files import read_json
from tasks.project.paths import Places
from tasks.settings import readers
from tasks.staleness import pipeline
from tests import photographs
from tests.tasks.conftest import ROOT, make_project

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif("COVEY_DATA" not in os.environ, reason="needs the data sets in $COVEY_DATA"),
]
SIZE, EACH = 96, 14
"""Pixels, and pictures of each archive."""
RUN = (
    "import sys; from tasks.project.project import Project; from tasks.staleness.reproduce import reproduce\n"
    "for stage in sys.argv[1:]: print(stage, reproduce(Project.find(), stage), flush=True)"
)
WEIGHTS = """
import torch, torchvision, timm
torch.manual_seed(0)
resnet = torchvision.models.resnet50().state_dict()
torch.save({"state_dict": {f"module.backbone.{name}": value for name, value in resnet.items()}}, "resnet50.pth")
vit = timm.create_model("vit_tiny_patch16_224", img_size=96).state_dict()
torch.save({"teacher": {f"backbone.{name}": value for name, value in vit.items()}}, "vit.pth")
"""
"""Checkpoints in the form in which they are published, of networks that nobody has trained: they stand in for those."""
BLOCKS = {
    "encoder": {"name": "resnet", "depth": 10, "width": 8, "stem": "imagenet"},
    "pretrain": {
        "simclr": {"method": "simclr"},
        "resnet50": {
            "method": "pretrained",
            "encoder": {"name": "torchvision", "model": "resnet50"},
            "weights": "resnet50.pth",
        },
        "vit": {
            "method": "pretrained",
            "encoder": {"name": "timm", "model": "vit_tiny_patch16_224", "size": SIZE},
            "weights": "vit.pth",
        },
    },
    "clusterfit": {
        "resnet50_cf": {"source": "resnet50", "clusters": 4},
        "vit_cf": {"source": "vit", "clusters": 4},
    },
    "targets": {},
    "sets": {},
    "suites": {},
}
RUNS = [*BLOCKS["pretrain"], *BLOCKS["clusterfit"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The photographs, their labels in a CSV beside them, and what was written."""
    place = tmp_path_factory.mktemp("own") / "photos"
    written = photographs.make(place, os.environ["COVEY_DATA"], most=EACH)
    photographs.write_labels(place.with_suffix(".csv"), written)
    return place


def run(project: Path, environment, names=None):
    """Runs all stages, or those named, through DVC."""
    stages = names or [name for name in pipeline.resolved(project) if name != "code"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "code", *stages],
        cwd=project, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def project_of(tmp_path, folder, labels, transfer):
    blocks = yaml.safe_load((ROOT / "params.yaml").read_text())["kinds"]["pictures"]
    training = blocks["training"] | {"epochs": 1, "batch_size": 8}
    project = make_project(tmp_path, **blocks | BLOCKS | {"training": training, "transfer": transfer})
    content = yaml.safe_load((project / "params.yaml").read_text())
    data = {"name": "photos", "reader": "folder", "source": str(folder), "size": SIZE, "labels": labels}
    content |= {"data": data, "datasets": {"photos": data}}
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    subprocess.run([sys.executable, "-c", WEIGHTS], cwd=project, check=True, timeout=120)
    return project


def test_photographs_without_labels_and_networks_of_others_go_the_whole_way(tmp_path, folder, fork):
    project = project_of(tmp_path, folder, "auto", {"retrieval": {}, "knn": {}})
    run(project, fork)
    places = Places(project, "photos")
    prepared = read_json(places.preparation)
    line = readers.told(project, yaml.safe_load((project / "params.yaml").read_text())["data"], 0)
    assert "deep: no labels; " in line
    assert "1 .mov" in line
    assert prepared["train"] + prepared["test"] == 3 * EACH
    assert {entry["suffix"]: entry["count"] for entry in prepared["left_out"]}[".mov"] == 1
    assert any(name.startswith("2022/cut.jpg") for name in prepared["skipped"])
    images = numpy.load(places.dataset / "train.images.npy", mmap_mode="r")
    assert images.shape[1:] == (3, round(SIZE * 1.15), round(SIZE * 1.15))
    assert read_json(places.dataset / "dataset.json")["shapes"] == {"images": [3, SIZE, SIZE]}
    for name in RUNS:
        features = numpy.load(places.features(name) / "test.pooled.npy")
        assert len(features) == prepared["test"]
        assert numpy.isfinite(features).all()
        assert "no labels" in read_json(places.metric(name, "knn.json"))["not_applicable"]
    assert [numpy.load(places.features(name) / "test.pooled.npy").shape[1] for name in RUNS] == [64, 2048, 192, 64, 64]
    members = parquet.read_table(places.clusters("vit_cf") / "members.parquet").to_pydict()
    assert len(members["file"]) == prepared["train"]
    assert all((folder / name).is_file() for name in members["file"])
    page = (project / "results/report.html").read_text()
    assert all(words in page for words in ("files left out", ".mov", members["file"][0]))


def test_labels_of_a_file_are_measured(tmp_path, folder, fork):
    project = project_of(tmp_path, folder, str(folder.with_suffix(".csv")), {"knn": {"neighbours": 5}})
    run(project, fork, ["prepare", "pretrain@resnet50", "extract@resnet50", "transfer@resnet50-knn"])
    places = Places(project, "photos")
    assert read_json(places.metric("resnet50", "knn.json"))["scores"]
    described = read_json(places.dataset / "dataset.json")
    assert described["classes"] == ["bccd_voc", "davis96", "lsp"]
    assert described["label_sets"] == {"even": ["no", "yes"]}
