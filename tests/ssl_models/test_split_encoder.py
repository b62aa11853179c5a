"""The split encoder: two networks that never meet, read as one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.encoders import build_encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.split import SplitResNet

torch.set_num_threads(1)

CHANNELS = {"lab": 3, "depth": 4}


def split(space: str = "lab", **settings: Any) -> SplitResNet:
    torch.manual_seed(0)
    return SplitResNet(**{"depth": 10, "width": 8, "channels": CHANNELS[space], "space": space} | settings)


def pictures(space: str = "lab", batch: int = 4, side: int = 24) -> Tensor:
    return torch.rand(batch, CHANNELS[space], side, side, generator=torch.Generator().manual_seed(1))


def solid(*colour: float) -> Tensor:
    """A 2 x 2 picture of one colour."""
    return torch.tensor(colour)[None, :, None, None].expand(1, len(colour), 2, 2)


@pytest.mark.parametrize("space", CHANNELS)
@pytest.mark.parametrize("extra", [{}, {"norm": "group"}, {"stem": "imagenet"}, {"stem_stride": 1}])
def test_values_and_gradients_are_those_of_the_halves_alone(space: str, extra: dict[str, Any]) -> None:
    encoder = split(space, **extra)
    alone = deepcopy(encoder.first), deepcopy(encoder.second)
    images = pictures(space, side=40)
    layers = encoder.layers(images)
    apart = [half.layers(part) for half, part in zip(alone, encoder.parts(images), strict=True)]
    total = separately = torch.zeros(())
    generator = torch.Generator().manual_seed(2)
    for layer, found in layers.items():
        torch.testing.assert_close(found, torch.cat([maps[layer] for maps in apart], 1))
        weight = torch.randn(found.shape, generator=generator)
        total = total + (weight * found).sum()
        separately = separately + sum(
            (w * maps[layer]).sum() for w, maps in zip(weight.chunk(2, 1), apart, strict=True)
        )
    total.backward()
    separately.backward()
    for half, copy in zip((encoder.first, encoder.second), alone, strict=True):
        expected = dict(copy.named_parameters())
        for name, parameter in half.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_every_layer_is_as_large_as_that_of_a_resnet_of_this_width(stem: str) -> None:
    encoder, whole = split(stem=stem).eval(), ResNet(depth=10, width=8, stem=stem).eval()
    images = pictures(side=32)
    shapes = {layer: found.shape for layer, found in encoder.layers(images).items()}
    assert shapes == {layer: found.shape for layer, found in whole.layers(images).items()}
    assert list(shapes) == ["conv1", "res2", "res3", "res4", "res5"]
    assert encoder(images).shape == (4, encoder.dim) == (4, whole.dim)
    torch.testing.assert_close(encoder(images), encoder.layers(images)["res5"].mean((2, 3)))


def test_it_has_half_the_parameters() -> None:
    """Section 3.2 of the paper: each channel is connected to half of those before it."""
    counts = [
        sum(parameter.numel() for parameter in encoder.parameters() if parameter.ndim == 4)
        for encoder in (split(width=32), ResNet(depth=10, width=32))
    ]
    assert counts[0] / counts[1] == pytest.approx(0.5, abs=0.001)


def test_nearness_reaches_the_first_half_only_and_rgb_the_second() -> None:
    encoder, images = split("depth").eval(), pictures("depth")
    before = [half.clone() for half in encoder(images).chunk(2, 1)]
    for channel, changed in ((3, 0), (0, 1), (1, 1), (2, 1)):
        other = images.clone()
        other[:, channel] = 1 - other[:, channel]
        after = encoder(other).chunk(2, 1)
        assert not torch.allclose(after[changed], before[changed])
        assert torch.equal(after[1 - changed], before[1 - changed])


def test_the_first_half_cannot_see_colour_nor_the_second_lightness() -> None:
    encoder = split().eval()
    dark, light = (grey * torch.ones(1, 3, 24, 24) for grey in (0.2, 0.7))
    (first, second), (other_first, other_second) = (encoder(images).chunk(2, 1) for images in (dark, light))
    torch.testing.assert_close(second, other_second, rtol=1e-4, atol=1e-5)
    assert (first - other_first).abs().max() > 1e-3
    lightness, colour = encoder.parts(pictures())
    lightness = lightness.requires_grad_()
    whole = torch.cat([encoder.first.standardise(lightness), encoder.second.standardise(colour.requires_grad_())], 1)
    for block in encoder.blocks().values():
        whole = block(whole)
    front, back = whole.chunk(2, 1)
    assert torch.autograd.grad(front.sum(), colour, retain_graph=True, allow_unused=True)[0].abs().max() == 0
    assert torch.autograd.grad(back.sum(), lightness, allow_unused=True)[0].abs().max() == 0


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1.0, 1.0, 1.0), (100, 0, 0)),
        ((0.0, 0.0, 0.0), (0, 0, 0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
    ],
)
def test_the_parts_of_known_colours(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    lightness, colour = split().parts(solid(*rgb))
    assert lightness.shape == (1, 1, 2, 2)
    assert colour.shape == (1, 2, 2, 2)
    assert float(lightness[0, 0, 0, 0]) == pytest.approx(lab[0] / 100, abs=2e-4)
    assert colour[0, :, 1, 1].tolist() == pytest.approx([0.5 + value / 220 for value in lab[1:]], abs=2e-4)


def test_parts_of_all_colours_lie_in_the_unit_range() -> None:
    side = torch.linspace(0, 1, 24)
    cube = torch.stack(torch.meshgrid(side, side, side, indexing="ij")).reshape(1, 3, 24, -1)
    for part in split().parts(cube):
        assert -1e-5 < float(part.min()) < 0.02
        assert 0.9 < float(part.max()) < 1 + 1e-5


def test_the_depth_parts_are_the_channels_as_they_are() -> None:
    nearness, rgb = split("depth").parts(solid(0.1, 0.2, 0.3, 0.9))
    assert nearness[0, :, 0, 0].tolist() == pytest.approx([0.9])
    assert rgb[0, :, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("space", CHANNELS)
def test_its_settings_build_it_again(space: str) -> None:
    encoder = split(space, norm="group", stem_stride=1).eval()
    again = build_encoder(encoder.name, **encoder.settings).eval()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(pictures(space)), encoder(pictures(space)))
    assert again.settings == encoder.settings
    assert all(isinstance(value, int | str) for value in encoder.settings.values())


def test_bf16_gives_about_the_same() -> None:
    encoder = split(norm="group")
    exact = encoder(pictures())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(pictures())
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "hsv"}, "encoder space 'hsv' is unknown; choose one of lab, depth"),
        ({"channels": 1}, "encoder space 'lab' needs pictures of 3 channels, and these have 1"),
        ({"channels": 4}, "needs pictures of 3 channels, and these have 4"),
        ({"channels": 3, "space": "depth"}, "encoder space 'depth' needs pictures of 4 channels, and these have 3"),
        ({"width": 5}, "encoder width 5 cannot be split in two halves; it must be even"),
        ({"width": 0}, "encoder width 0 cannot be split"),
        ({"depth": 11}, "encoder depth is 11"),
        ({"norm": "layer"}, "encoder norm is 'layer'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitResNet(**settings)
