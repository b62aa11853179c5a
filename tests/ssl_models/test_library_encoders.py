"""Encoders made of torchvision's and timm's networks: their layers, their vector, their inputs, and what is refused."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import StochasticDepth

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder, encoder_class
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.library import Preparation, blocks_shown
from ssl_models.encoders.shapes import map_shapes
from ssl_models.encoders.torchvision import as_map
from ssl_models.extraction import POOLED, feature_layers
from ssl_models.parallel.encoder_shards import _draws

torch.set_num_threads(1)
STAGES = [f"stage{number}" for number in range(1, 6)]
RESNET = ["conv1", "res2", "res3", "res4", "res5"]
VIT: dict[str, Any] = {"model": "test_vit", "size": 32, "options": {"patch_size": 8}}
KINDS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a ResNet of torchvision": ("torchvision", {"model": "resnet18"}, RESNET),
    "another network of torchvision": ("torchvision", {"model": "shufflenet_v2_x0_5"}, STAGES),
    "windows whose maps have channels last": ("torchvision", {"model": "swin_t", "size": 32}, STAGES[:4]),
    "a ResNet of timm": ("timm", {"model": "test_resnet"}, RESNET),
    "another network of timm": ("timm", {"model": "test_convnext"}, STAGES[:4]),
    "a ViT": ("timm", VIT, [f"block{number}" for number in range(1, 7)]),
}


def built(kind: str, **more: Any) -> Encoder:
    torch.manual_seed(0)
    name, settings, _ = KINDS[kind]
    return build_encoder(name, **settings, **more).eval()


def pictures(channels: int = 3, side: int = 32) -> Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_maps_and_the_vector_is_the_networks_own(kind: str) -> None:
    encoder = built(kind)
    with torch.no_grad():
        layers, vectors = encoder.represent(pictures())
        assert torch.equal(vectors, encoder(pictures()))
    assert list(layers) == KINDS[kind][2]
    assert vectors.shape == (2, encoder.dim)
    assert map_shapes(encoder, (3, 32, 32)) == {layer: tuple(found.shape[1:]) for layer, found in layers.items()}
    assert all(found.shape[2] == found.shape[3] for found in layers.values())
    stored = {"images": (255 * pictures()).to(torch.uint8)}
    assert feature_layers(encoder, stored) == (*layers, POOLED)


@pytest.mark.parametrize("kind", KINDS)
def test_its_settings_build_it_again_and_the_seed_decides_its_weights(kind: str) -> None:
    first, second = built(kind), built(kind)
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))
    again = build_encoder(first.name, **json.loads(json.dumps(first.settings))).eval()
    again.load_state_dict(first.state_dict())
    assert again.settings == first.settings
    with torch.no_grad():
        assert torch.equal(again(pictures()), first(pictures()))


def test_a_clip_is_the_mean_of_its_frames() -> None:
    encoder = built("a ViT")
    clip = torch.stack([pictures(), pictures().flip(3)], 1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(clip), (encoder(clip[:, 0]) + encoder(clip[:, 1])) / 2)


def test_the_maps_of_a_vit_are_its_patches_tokens_in_place() -> None:
    encoder: Any = built("a ViT")
    with torch.no_grad():
        last = encoder.layers(pictures())["block6"]  # (B, C, h, w)
        tokens = encoder.network.norm(last.flatten(2).transpose(1, 2))
        every = encoder.network.forward_features(encoder.standardise(pictures()))
    torch.testing.assert_close(tokens, every[:, encoder.network.num_prefix_tokens :])


def test_activations_of_any_order_become_maps() -> None:
    tokens = torch.arange(10.0).view(1, 5, 2)  # a class token 0, 1 and four patches
    assert as_map(tokens, "BNC").tolist() == [[[[2, 4], [6, 8]], [[3, 5], [7, 9]]]]
    assert as_map(torch.zeros(1, 2, 3, 4), "BHWC").shape == (1, 4, 2, 3)
    assert as_map(torch.zeros(1, 2, 3, 4), "BCHW").shape == (1, 2, 3, 4)


@pytest.mark.parametrize(("count", "shown"), [(1, [0]), (12, list(range(12))), (24, list(range(1, 24, 2)))])
def test_of_many_blocks_twelve_are_layers_the_last_among_them(count: int, shown: list[int]) -> None:
    assert blocks_shown(count) == shown
    assert blocks_shown(40)[-1] == 39
    assert len(blocks_shown(40)) == 10


def test_pictures_are_scaled_without_aliasing_and_standardised() -> None:
    striped = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(8).expand(1, 1, 32, 32)
    scaled = Preparation(8, (0.0,), (1.0,))(striped)
    assert scaled.shape == (1, 1, 8, 8)
    torch.testing.assert_close(scaled[..., 2:-2], torch.full((1, 1, 8, 4), 0.25))  # unscreened samples would be 0
    encoder = built("a ResNet of torchvision")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    torch.testing.assert_close(encoder.standardise(mean.expand(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4))
    own = built("a ResNet of torchvision", normalise="own")
    assert own.standardise(torch.ones(1, 3, 4, 4)).unique().tolist() == [2]


def test_a_grey_picture_is_three_equal_channels_to_torchvision_and_one_to_timm() -> None:
    kind = "a ResNet of torchvision"
    grey = pictures(channels=1)
    with torch.no_grad():
        assert torch.equal(built(kind, channels=1)(grey), built(kind)(grey.expand(-1, 3, -1, -1)))
    assert built("a ResNet of timm", channels=5)(pictures(channels=5)).shape == (2, 96)


def test_only_pictures_stay_channels_last() -> None:
    assert {kind: built(kind).convolutional for kind in ("a ResNet of timm", "a ViT", "another network of timm")} == {
        "a ResNet of timm": True,
        "a ViT": False,
        "another network of timm": True,
    }


@pytest.mark.parametrize(
    ("name", "shape", "settings", "message"),
    [
        (
            "torchvision",
            (3, 32, 32),
            {"model": "resnet51"},
            "'resnet51' is unknown to torchvision; .*resnet50",
        ),
        ("timm", (3, 32, 32), {"model": "vit_smal_patch16_224"}, "unknown to timm; .* are vit_small_patch16_224"),
        ("timm", (3, 32, 32), {"model": "hf-hub:timm/resnet18"}, "unknown to timm"),
        ("timm", (3, 32, 32), {"model": "resnet18.mine"}, r"Invalid pretrained tag \(mine\) for resnet18"),
        ("timm", (3, 32, 32), {"model": "#"}, r"it has [\d]+, such as"),
        ("torchvision", (4, 32, 32), {"model": "resnet18"}, "takes pictures of 3 channels, or of 1, and these have 4"),
        (
            "torchvision",
            (3, 32, 32),
            {"model": "alexnet"},
            "'alexnet', cannot take pictures of 32 x 32 px .*`size`",
        ),
        ("torchvision", (3, 32, 32), {"model": "vit_b_16", "size": 30}, "with image_size 30: Input shape indivisible"),
        ("timm", (3, 32, 32), VIT | {"size": 30}, "cannot take pictures of 32 x 32 px .*divisible by patch size"),
        ("timm", (3, 32, 32), {"model": "test_vit", "options": {"img_size": 32}}, "'img_size': give the setting size"),
        ("timm", (3, 32, 32), {"model": "test_vit", "options": {"pretrained": True}}, "'pretrained': it is set by"),
        (
            "torchvision",
            (3, 32, 32),
            {"model": "resnet18", "options": {"depth": 3}},
            "with depth 3: .*unexpected",
        ),
        (
            "timm",
            (3, 32, 32),
            {"model": "test_vit", "normalise": "none"},
            "'none'; choose one of auto, own",
        ),
        ("timm", (3, 32, 32), {"model": "test_vit", "options": {"global_pool": ""}}, "global_pool is '', .* as avg"),
        ("timm", (3, 32, 32), {"model": "test_vit", "size": -1}, "size is -1; it must be at least 1, or 0"),
    ],
)
def test_what_cannot_be_is_refused(name: str, shape: tuple[int, ...], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder_class(name).from_data(DataSpec(8, {"images": shape}), **settings)


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_a_library_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=f"the encoder '{name}' needs its library .*: pip install {name}"):
        build_encoder(name, model="resnet18")


def test_paths_that_are_dropped_are_drawn() -> None:
    assert _draws(StochasticDepth(0.1, "row"))
    assert _draws(torch.nn.Dropout(0.1))
    assert not _draws(StochasticDepth(0.0, "row"))
    assert not _draws(torch.nn.LPPool2d(2, 2))
