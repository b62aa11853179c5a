"""Transfer: extracted features are enough for what is frozen, a target brings its own data, and nothing else runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.errors import NeedsLabels, NeedsTruth
from ssl_models.methods.random import Random
from tasks.artifacts.encoders import write_encoder
from tasks.cluster import cluster
from tasks.prepare import prepare
from tasks.process import files
from tasks.project.project import Project
from tasks.stage.context import Context, NotApplicable
from tasks.targets import prepare as targets_prepare
from tasks.targets import transfer as targets_transfer
from tasks.transfer import own_data, transfer

torch.set_num_threads(1)
WORLD = {"name": "world", "reader": "world", "source": "world.py", "train": 96, "test": 48}
SCENES = {"name": "scenes", "reader": "world_scenes", "source": "scenes.py", "train": 48, "test": 24, "size": 32}
TARGETS = {
    "scenes_voc_map": {"protocol": "voc_map", "data": SCENES | {"objects": 2}, "costs": [1.0], "layers": ["pooled"]},
    "scenes_knn": {"protocol": "knn", "data": SCENES | {"objects": 2}},
}
LAYERS = ("conv1", "res5", "pooled")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A world, a run with features of three layers but no encoder, and targets."""
    parameters: dict[str, Any] = {
        "seed": 0,
        "data": WORLD,
        "machine": {"precision": "float32", "threads": 1},
        "extract": {"size": 64},
        "transfer": {"linear": {}, "knn": {}, "voc_map": {"costs": [1.0], "layers": ["pooled"]}, "retrieval": {}},
        "targets": TARGETS,
        "pretrain": {"random": {"method": "random"}},
        "clusterfit": {"random_cf": {"source": "random", "clusters": 4}},
    }
    context = Context(Project.given(tmp_path, parameters), "transfer", tmp_path, MagicMock())
    prepare(context)
    for split, samples in (("train", 96), ("test", 48)):
        labels = numpy.load(context.places.dataset / f"{split}.labels.npy")
        for layer in LAYERS:
            features = numpy.random.default_rng(len(layer)).normal(size=(samples, 16)) + 9 * numpy.eye(16)[labels]
            context.places.features("random").mkdir(parents=True, exist_ok=True)
            numpy.save(context.places.features("random") / f"{split}.{layer}.npy", features.astype(numpy.float16))
    (context.places.features("random") / "layers.json").write_text(json.dumps({"layers": list(LAYERS)}))
    return context


def with_encoder(context: Context, run: str = "random") -> None:
    torch.manual_seed(0)
    data = DataSpec(96, {"images": (3, 32, 32)})
    encoder = build_encoder(name="resnet", depth=10, width=4, stem_stride=2)
    write_encoder(context.places.encoder(run), Random(encoder, data), data.shapes)


@pytest.mark.parametrize("protocol", ["linear", "knn", "voc_map", "retrieval"])
def test_one_extraction_serves_every_frozen_protocol(context: Context, protocol: str) -> None:
    """There is no encoder to run; the features alone answer."""
    assert not context.places.encoder("random").exists()
    result = transfer(context, "random", protocol)
    record = files.read_json(context.places.metric("random", f"{protocol}.json"))
    assert record["protocol"] == protocol
    assert record["scores"][0]["value"] > 0.9
    assert context.places.findings("random", protocol).is_dir()
    assert all(path.exists() for path in result.artifacts)


def test_pictures_and_curves_are_left_beside_the_record(context: Context) -> None:
    transfer(context, "random", "retrieval")
    transfer(context, "random", "voc_map")
    assert list(context.places.findings("random", "retrieval").glob("*.png"))
    curves = files.read_json(context.places.findings("random", "voc_map") / "curves.json")
    for curve in curves.values():
        assert len({len(column) for column in curve.values()}) == 1


def test_own_data_are_the_layers_in_order_and_say_what_they_lack(context: Context) -> None:
    given = own_data(context, "random")
    assert given.layers == LAYERS
    assert isinstance(given.features("train", "res5"), numpy.memmap)
    assert given.images("test").shape == (48, 3, 32, 32)
    assert given.classes == len(given.class_names) == 12
    assert given.truth("train", "factors")["hue"].shape == (96, 2)
    with pytest.raises(NeedsTruth, match="'world' has no boxes"):
        given.truth("train", "boxes")
    with pytest.raises(NeedsTruth, match="'random' has not learnt from clusters"):
        given.truth("test", "clusters")
    (context.places.dataset / "test.labels.npy").unlink()
    with pytest.raises(NeedsLabels, match="'world' has no labels"):
        given.labels("test")


def test_a_refit_s_pseudo_labels_are_its_own_classifier_s(context: Context) -> None:
    context.places.features("random_cf").parent.mkdir(parents=True)
    context.places.features("random").rename(context.places.features("random_cf"))
    context.places.encoder("random_cf").mkdir(parents=True)
    weight = numpy.eye(4, 16, dtype=numpy.float32)
    save_file(
        {"weight": weight, "bias": numpy.zeros(4, numpy.float32)},
        context.places.encoder("random_cf") / "head.safetensors",
    )
    given = own_data(context, "random_cf")
    expected = numpy.asarray(given.features("test", "pooled"), numpy.float32)[:, :4].argmax(1)
    assert numpy.array_equal(given.truth("test", "clusters"), expected)


def test_a_target_is_measured_on_its_own_data(context: Context) -> None:
    with_encoder(context)
    targets_prepare.prepare(context, "scenes_voc_map")
    folder = context.project.target("scenes_voc_map")
    assert numpy.load(folder / "train.boxes.npy").shape[1] == 7
    given = targets_transfer.other_data(context, "random", "scenes_voc_map")
    assert given.layers == ("conv1", "res2", "res3", "res4", "res5", "pooled")
    assert given.features("test", "pooled").shape == (24, 32)
    assert given.features("test", "pooled") is given.features("test", "pooled")  # extracted once
    targets_transfer.transfer(context, "random", "scenes_voc_map")
    record = files.read_json(context.places.metric("random", "scenes_voc_map.json"))
    assert record["protocol"] == "voc_map"
    assert record["scores"][0]["metric"] == "map"


def test_a_target_of_pictures_is_measured_by_the_tower_that_sees(context: Context) -> None:
    torch.manual_seed(0)
    data = DataSpec(96, {"frames": (2, 3, 32, 32), "sound": (4000,)})
    encoder = build_encoder("two_tower", depth=10, width=4)
    write_encoder(context.places.encoder("random"), Random(encoder, data), data.shapes)
    own = {"protocol": "keypoints", "data": SCENES | {"objects": 1}, "layers": ["res4", "res5"], "epochs": 1}
    context.parameters["targets"] = {"objects_keypoints": own}
    targets_prepare.prepare(context, "objects_keypoints")
    given = targets_transfer.other_data(context, "random", "objects_keypoints")
    assert given.layers == ("conv1", "res2", "res3", "res4", "res5", "pooled")
    seen = torch.rand(2, 3, 32, 32)
    assert torch.equal(given.encoder().eval()(seen), encoder.eval().seeing(seen))
    targets_transfer.transfer(context, "random", "objects_keypoints")
    assert files.read_json(context.places.metric("random", "objects_keypoints.json"))["scores"]


def test_what_was_left_out_of_a_target_is_printed_and_told_beside_its_numbers(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    with_encoder(context)
    folder = context.project.root / "photos"
    for number in range(12):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numpy.full((32, 32, 3), 20 * number, numpy.uint8)).save(path)
    (folder / "a/clip.mov").touch()
    own = {"name": "photos", "reader": "folder", "source": "photos"}
    context.parameters["targets"] = {"photos_knn": {"protocol": "knn", "data": own}}
    targets_prepare.prepare(context, "photos_knn")
    reason = "no suffix of a picture that is read"
    assert f"left out: 1 of .mov ({reason}), such as a/clip.mov" in capsys.readouterr().out.splitlines()
    targets_transfer.transfer(context, "random", "photos_knn")
    told = files.read_json(context.places.metric("random", "photos_knn.json"))["data"]
    assert told["left_out"] == [
        {"suffix": ".mov", "reason": reason, "count": 1, "example": "a/clip.mov", "kind": "other"}
    ]


def test_a_target_without_what_its_protocol_needs_does_not_apply(context: Context) -> None:
    with_encoder(context)
    targets_prepare.prepare(context, "scenes_knn")
    with pytest.raises(NotApplicable, match="scenes_knn: the data set 'scenes_knn' has no labels"):
        targets_transfer.transfer(context, "random", "scenes_knn")


def test_too_few_samples_do_not_apply_and_a_mistake_in_the_settings_fails(context: Context) -> None:
    transfers = context.parameters["transfer"]
    for split in ("train", "test"):
        for layer in LAYERS:
            path = context.places.features("random") / f"{split}.{layer}.npy"
            numpy.save(path, numpy.load(path)[:12])
    transfers["embedding"] = {}
    with pytest.raises(NotApplicable, match=r"embedding: layer 'pooled' .* a map takes 20 samples"):
        transfer(context, "random", "embedding")
    transfers["embedding"] = {"perplexity": 0}
    with pytest.raises(ValueError, match="perplexity = 0 must be"):
        transfer(context, "random", "embedding")


def test_clusters_of_a_collapsed_encoder_do_not_apply(context: Context) -> None:
    path = context.places.features("random") / "train.pooled.npy"
    numpy.save(path, numpy.full((96, 16), 0.5, numpy.float16))
    with pytest.raises(NotApplicable, match="clusters of random: all 96 samples have the same features"):
        cluster(context, "random_cf")
    context.parameters["clusterfit"]["random_cf"]["clusters"] = 1
    with pytest.raises(ValueError, match="clusters = 1 must be at least 2"):
        cluster(context, "random_cf")


def test_what_a_protocol_notes_is_in_its_record(context: Context) -> None:
    with_encoder(context)
    context.parameters["transfer"]["label_free"] = {}
    transfer(context, "random", "label_free")
    place = context.places.metric("random", "label_free.json")
    notes = files.read_json(place).get("notes", [])
    assert not any("collapsed" in note for note in notes)
    numpy.save(context.places.features("random") / "test.pooled.npy", numpy.ones((48, 16), numpy.float16))
    transfer(context, "random", "label_free")
    assert any("has collapsed" in note for note in files.read_json(place)["notes"])
    transfer(context, "random", "knn")
    assert "notes" not in files.read_json(context.places.metric("random", "knn.json"))
