"""The residual network: the shapes of its layers, its two stems, and its two normalisations."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.resnet import BasicBlock, Projection, ResNet, group_norm, torchvision_name

torch.set_num_threads(1)

LAYERS = ["conv1", "res2", "res3", "res4", "res5"]


def encoder(**settings: Any) -> ResNet:
    torch.manual_seed(0)
    return ResNet(**({"depth": 10, "width": 4} | settings))


def pictures(batch: int = 3, channels: int = 3, side: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(batch, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("depth", [10, 18, 34])
@pytest.mark.parametrize(
    ("stem", "sides"),
    [
        ({"stem": "small"}, [16, 16, 8, 4, 2]),
        ({"stem": "small", "stem_stride": 1}, [32, 32, 16, 8, 4]),
        ({"stem": "imagenet"}, [16, 8, 4, 2, 1]),
    ],
)
def test_each_stage_halves_the_side_and_doubles_the_channels(depth: int, stem: dict, sides: list[int]) -> None:
    network = encoder(depth=depth, **stem)
    layers = network.layers(pictures())
    assert list(layers) == LAYERS
    shapes = [(3, channels, side, side) for channels, side in zip([4, 4, 8, 16, 32], sides, strict=True)]
    assert [layer.shape for layer in layers.values()] == shapes
    assert network(pictures()).shape == (3, network.dim) == (3, 32)


@pytest.mark.parametrize(("depth", "blocks"), [(10, [1, 1, 1, 1]), (18, [2, 2, 2, 2]), (34, [3, 4, 6, 3])])
def test_the_depth_counts_the_convolutions_and_the_classifier_of_the_paper(depth: int, blocks: list[int]) -> None:
    network = encoder(depth=depth)
    assert [len(network.get_submodule(stage)) for stage in LAYERS[1:]] == blocks  # type: ignore[arg-type]
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(convolutions) + 1 == depth


def test_the_imagenet_stem_is_the_one_of_the_paper() -> None:
    network = encoder(stem="imagenet", width=64)
    convolution = network.conv1[0]
    assert (convolution.kernel_size, convolution.stride, convolution.out_channels) == ((7, 7), (2, 2), 64)
    conv1, res2 = list(network.layers(pictures(2, side=64)).values())[:2]
    assert conv1.shape == (2, 64, 32, 32)  # before the maximum
    assert res2.shape == (2, 64, 16, 16)


def test_pictures_need_not_be_square_nor_have_three_channels() -> None:
    network = encoder(channels=2)
    assert network.layers(torch.rand(2, 2, 32, 48))["res5"].shape == (2, 32, 2, 3)
    assert network(torch.rand(2, 2, 32, 48)).shape == (2, 32)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"depth": 18, "width": 5},
        {"stem": "imagenet", "channels": 1},
        {"stem_stride": 1, "channels": 4},
        {"norm": "group"},
        {"norm": "group", "width": 8, "stem": "imagenet"},
    ],
)
def test_its_settings_build_the_same_encoder_again(settings: dict[str, Any]) -> None:
    first = encoder(**settings).eval()
    second = build_encoder(first.name, **first.settings).eval()
    assert second.settings == first.settings
    inputs = pictures(channels=first.settings["channels"])
    assert not torch.equal(first(inputs), second(inputs))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(inputs), second(inputs))


@pytest.mark.parametrize("settings", [{}, {"stem": "imagenet"}, {"norm": "group", "depth": 18}])
def test_blocks_one_after_another_give_the_layers_and_the_last_is_pooled(settings: dict[str, Any]) -> None:
    network = encoder(**settings).eval()
    blocks, layers = network.blocks(), network.layers(pictures())
    assert list(blocks) == list(layers) == LAYERS
    hidden = network.standardise(pictures())
    for layer, block in blocks.items():
        hidden = block(hidden)
        assert torch.equal(hidden, layers[layer])
    assert torch.equal(network(pictures()), hidden.mean((2, 3)))


def test_the_first_block_is_given_standardised_pictures() -> None:
    levels = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    assert encoder().standardise(levels).flatten().tolist() == [-2, 0, 2]
    assert not {"mean", "deviation"} & set(encoder().state_dict())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [4, 6])
def test_a_block_is_two_convolutions_beside_a_short_cut(stride: int, channels: int) -> None:
    torch.manual_seed(0)
    block, inputs = BasicBlock(4, channels, stride).eval(), torch.randn(2, 4, 8, 8)
    straight = stride == 1 and channels == 4
    assert isinstance(block.shortcut, nn.Identity) == straight
    expected = block.norm2(block.conv2(block.norm1(block.conv1(inputs)).clamp_min(0)))
    expected = (expected + (inputs if straight else block.shortcut(inputs))).clamp_min(0)
    kept = inputs.clone()
    torch.testing.assert_close(block(inputs), expected)
    assert torch.equal(inputs, kept)  # a layer that was handed out is not changed by the next
    assert expected.shape == (2, channels, 8 // stride, 8 // stride)


def output_of_the_first(network: ResNet, others: Tensor) -> Tensor:
    return network.train()(torch.cat([pictures(1), others]))[0]


def test_with_group_norm_a_sample_in_training_knows_nothing_of_the_others() -> None:
    alike, unlike = pictures(3, seed=1), 0.1 * pictures(3, seed=2)
    for norm, same in (("group", True), ("batch", False)):
        first, second = (output_of_the_first(encoder(norm=norm), others) for others in (alike, unlike))
        assert torch.allclose(first, second, rtol=1e-4, atol=1e-5) == same


def test_with_group_norm_training_and_evaluation_are_the_same_and_one_sample_is_enough() -> None:
    network = encoder(norm="group")
    one = pictures(1, side=16)  # res5 is a single place
    trained = network.train()(one)
    assert trained.isfinite().all()
    torch.testing.assert_close(network.eval()(one), trained)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        encoder(norm="batch").train()(one)


def test_group_norm_leaves_nothing_of_batch_norm() -> None:
    for norm, left in (("group", nn.GroupNorm), ("batch", nn.BatchNorm2d)):
        network = encoder(norm=norm)
        norms = {type(m) for m in network.modules() if isinstance(m, nn.GroupNorm | nn.modules.batchnorm._BatchNorm)}
        assert norms == {left}
        statistics = [name for name in network.state_dict() if "running" in name or "tracked" in name]
        assert bool(statistics) == (norm == "batch")
    assert set(encoder(norm="group").state_dict()) == {name for name, _ in encoder(norm="group").named_parameters()}


def test_both_normalisations_have_the_same_parameters() -> None:
    shapes = [{n: p.shape for n, p in encoder(norm=norm).named_parameters()} for norm in ("batch", "group")]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (4, 1), (8, 2), (9, 1), (12, 1), (16, 4), (17, 1), (18, 2), (32, 8), (128, 32), (256, 32), (512, 32)],
)
def test_groups_have_four_channels_or_more_and_are_at_most_32(channels: int, groups: int) -> None:
    norm = group_norm(channels)
    assert (norm.num_groups, norm.num_channels) == (groups, channels)


def test_group_norm_standardises_each_group_of_each_sample() -> None:
    hidden = 3 * torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0)) + 7
    groups = group_norm(8)(hidden).view(2, 2, 4 * 5 * 5)
    torch.testing.assert_close(groups.mean(2), torch.zeros(2, 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(groups.var(2, unbiased=False), torch.ones(2, 2), rtol=1e-3, atol=0)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_gradients_reach_every_parameter(norm: str, stem: str) -> None:
    network = encoder(norm=norm, stem=stem, width=8)
    weights = torch.randn(4, network.dim, generator=torch.Generator().manual_seed(1))
    (network(pictures(4, side=64)) * weights).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_convolutions_start_with_the_deviation_of_he() -> None:
    network = encoder(width=32)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            expected = (2 / (module.out_channels * module.kernel_size[0] * module.kernel_size[1])) ** 0.5
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 26}, "encoder depth is 26; choose one of 10, 18, 34, 50, 101"),
        ({"stem": "large"}, "encoder stem is 'large'; choose one of small, imagenet, auto"),
        ({"norm": "layer"}, "encoder norm is 'layer'; choose one of batch, group"),
        ({"width": 0}, "encoder width is 0 and stem_stride is 2; both must be at least 1"),
        ({"stem_stride": 0}, "stem_stride is 0; both must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder(**settings)


@pytest.mark.parametrize(("depth", "blocks"), [(50, [3, 4, 6, 3]), (101, [3, 4, 23, 3])])
def test_bottlenecks_have_three_convolutions_and_end_four_times_as_wide(depth: int, blocks: list[int]) -> None:
    network = encoder(depth=depth)
    assert [len(network.get_submodule(stage)) for stage in LAYERS[1:]] == blocks  # type: ignore[arg-type]
    counted = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and "shortcut" not in name]
    assert len(counted) + 1 == depth
    shapes = [tuple(layer.shape[1:]) for layer in network.eval().layers(pictures()).values()]
    assert shapes == [(4, 16, 16), (16, 16, 16), (32, 8, 8), (64, 4, 4), (128, 2, 2)]
    assert network.dim == 128


@pytest.mark.parametrize("depth", [18, 50])
def test_at_its_width_it_computes_what_torchvision_does(depth: int) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    other = torchvision.models.get_model(f"resnet{depth}").eval()
    other.fc = nn.Identity()
    network = encoder(depth=depth, width=64, stem="imagenet").eval()
    weights = other.state_dict()
    network.load_state_dict({name: weights.pop(torchvision_name(name)) for name in network.state_dict()})
    assert not weights
    inputs = pictures(2)
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), other(network.standardise(inputs)))


@pytest.mark.parametrize(("side", "stem"), [(95, "small"), (96, "imagenet")])
def test_the_stem_may_be_chosen_by_the_size_of_the_pictures(side: int, stem: str) -> None:
    data = DataSpec(8, {"images": (3, 128, side)})
    assert ResNet.from_data(data, depth=10, width=4, stem="auto").settings["stem"] == stem
    assert ResNet.from_data(data, depth=10, width=4).settings["stem"] == "small"
    with pytest.raises(ValueError, match="stem is 'auto', which is chosen by the data"):
        encoder(stem="auto")


NARROW = """
import torch
from ssl_models.encoders.resnet import Projection
torch.manual_seed(0)
layer = Projection(8, 16, 1, 2, bias=False).to(memory_format=torch.channels_last)
for _ in range(10):
    maps = torch.randn(32, 8, 56, 56).to(memory_format=torch.channels_last).requires_grad_()
    layer(maps).square().sum().backward()
"""


def test_a_narrow_shortcut_of_large_maps_does_not_end_the_process():
    done = subprocess.run([sys.executable, "-c", NARROW], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr  # a plain convolution ends with SIGSEGV here


@pytest.mark.parametrize(("channels", "side"), [(8, 40), (8, 33), (16, 40)])
def test_a_shortcut_computes_what_a_plain_convolution_does(channels, side):
    torch.manual_seed(0)
    layer, plain = Projection(channels, 4, 1, 2, bias=False), nn.Conv2d(channels, 4, 1, 2, bias=False)
    plain.load_state_dict(layer.state_dict())
    maps = torch.randn(2, channels, side, side)
    torch.testing.assert_close(layer(maps), plain(maps))
