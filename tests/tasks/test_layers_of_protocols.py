"""Protocols whose settings name layers: held against the layers of each run's encoder before anything starts."""

import re
from typing import Any

import pytest

from ssl_models.data import DataSpec
from tasks.checks import protocols
from tasks.checks.dry_run import check_stages
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tests.tasks.test_dry_run import parameters

SMALL = {"depth": 2, "embed_dim": 16, "num_heads": 2, "patch_size": 8}
VIT = {"name": "timm", "model": "vit_tiny_patch16_224", "size": 32, "options": SMALL}
OBJECTS = {"name": "objects", "reader": "world_scenes", "source": "ssl_models/datasets/world_scenes.py", "objects": 1}
RUNS = {"plain": {"method": "rotation"}, "vit": {"method": "simclr", "encoder": VIT}}


def check(root, transfer: dict[str, Any], targets: dict[str, Any], *stages: str, **changes: Any) -> None:
    own = {"pretrain": RUNS, "clusterfit": {"vit_on": {"source": "vit", "method": "rotation", "outputs": "weights"}}}
    content = parameters() | own | {"transfer": transfer, "targets": targets} | changes
    check_stages(Project.given(root, content), ["prepare", *(f"prepare_target@{name}" for name in targets), *stages])


@pytest.mark.parametrize(
    ("protocol", "settings", "message"),
    [
        ("knn", {"layers": ["res3"]}, "layers = ['res3'] must name at least one of block1, block2, pooled, and"),
        ("voc_map", {"layers": "conv1"}, "layers = 'conv1' must name at least one of block1, block2, pooled, and"),
        ("embedding", {"layer": "res5"}, "layer = 'res5' must be one of block1, block2, pooled"),
    ],
)
def test_a_layer_that_a_run_does_not_have_is_refused_by_name(tmp_path, protocol, settings, message):
    for run, stage in (("vit", "transfer"), ("vit_on", "transfer_clusterfit")):
        told = f"transfer.{protocol}: for the run '{run}', whose encoder is timm vit_tiny_patch16_224: {message}"
        with pytest.raises(ParameterError, match=f"^{re.escape(told)}"):
            check(tmp_path, {protocol: settings}, {}, f"transfer@plain-{protocol}", f"{stage}@{run}-{protocol}")


@pytest.mark.parametrize(
    ("protocol", "settings", "message"),
    [
        ("keypoints", {"layers": ["block2", "res4"]}, "has 'res4'; choose from block1, block2"),
        ("keypoints", {"layers": ["pooled"]}, "has 'pooled'; choose from block1, block2"),
        ("detection", {}, "detection needs the maps of 3 layers, and there are block1, block2 alone"),
    ],
)
def test_a_target_that_reads_maps_is_refused_an_encoder_without_them(tmp_path, protocol, settings, message):
    targets = {"mine": {"protocol": protocol, "data": OBJECTS, **settings}}
    with pytest.raises(ParameterError, match=rf"^targets\.mine: for the run 'vit', .*{message}$"):
        check(tmp_path, {}, targets, "transfer_target@vit-mine")
    if not settings:
        check(tmp_path, {}, targets, "transfer_target@plain-mine")


def test_a_layer_that_only_another_encoder_has_is_taken_for_that_one(tmp_path):
    transfer = {"knn": {"layers": ["block1", "pooled"]}, "embedding": {"layer": "block2"}}
    targets = {"mine": {"protocol": "keypoints", "data": OBJECTS, "layers": ["block1"]}}
    stages = ("transfer@vit-knn", "transfer@vit-embedding", "transfer_target@vit-mine")
    check(tmp_path, transfer, targets, *stages)
    with pytest.raises(ParameterError, match=r"^transfer\.knn: for the run 'plain', whose encoder is resnet: .*conv1"):
        check(tmp_path, transfer, targets, *stages, "transfer@plain-knn")


def test_the_layers_of_sound_are_known_too(tmp_path):
    speech = {"name": "speech", "reader": "world_speech", "source": "ssl_models/datasets/world_speech.py"}
    own = {"data": speech | {"train": 300, "test": 20}, "encoder": {"name": "speech"}}
    check(tmp_path, {"knn": {"layers": ["context"]}}, {}, "transfer@plain-knn", **own)
    with pytest.raises(ParameterError, match="one of conv1, conv2, conv3, conv4, context, pooled, and"):
        check(tmp_path, {"knn": {"layers": ["res5"]}}, {}, "transfer@plain-knn", **own)
    # What does not apply to these data, or an encoder that cannot read them, is no mistake: its stage says so.
    check(tmp_path, {"keypoints": {"layers": ["res5"]}}, {}, "transfer@plain-keypoints", **own)
    check(tmp_path, {"knn": {"layers": ["res5"]}}, {}, "transfer@vit-knn", **own)


def test_a_protocol_whose_annotations_the_data_lack_is_not_refused(tmp_path):
    check(tmp_path, {"detection": {}}, {}, "transfer@vit-detection")


def test_each_encoder_is_built_once(tmp_path, monkeypatch):
    built, own = [], protocols._layers
    monkeypatch.setattr(
        protocols, "_layers", lambda encoder, *data: built.append(encoder["name"]) or own(encoder, *data)
    )
    stages = [f"transfer@{run}-{protocol}" for run in RUNS for protocol in ("knn", "embedding")]
    check(tmp_path, {"knn": {}, "embedding": {}}, {}, *stages, "transfer_clusterfit@vit_on-knn")
    assert built == ["resnet", "timm"]


def test_of_two_towers_the_one_that_reads_a_target_is_held_against_its_settings():
    towers = {"name": "two_tower", "depth": 10, "width": 4}
    clips = DataSpec(8, {"frames": (2, 3, 32, 32), "sound": (4000,), "source": (1,)})
    pictures = DataSpec(8, {"images": (3, 32, 32)})
    seen = ("conv1", "res2", "res3", "res4", "res5")
    layers = protocols.Layers()
    assert layers.of(towers, clips, clips)[:6] == (*(f"frames_{layer}" for layer in seen), "frames")
    assert layers.of(towers, clips, pictures) == (*seen, "pooled")
    assert layers.of(towers, clips, DataSpec(8, {"sound": (4000,)}))[:2] == ("conv1", "conv2")
    assert layers.of(towers, clips, DataSpec(8, {"tokens": (9,)})) is None
    for layer, refused in (("res5", False), ("frames_res5", True)):
        target = {"protocol": "keypoints", "data": OBJECTS, "layers": [layer]}
        runs = {"both": {"method": "audio_visual"}}
        content = {"encoder": towers, "pretrain": runs, "clusterfit": {}, "transfer": {}, "targets": {"mine": target}}
        given = (content, "both", "mine", clips, pictures, layers, set())
        if refused:
            with pytest.raises(ValueError, match=r"for the run 'both', whose encoder is two_tower: .*'frames_res5'"):
                protocols.check_transfer(*given)
        else:
            protocols.check_transfer(*given)
