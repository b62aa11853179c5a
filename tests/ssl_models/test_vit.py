"""The vision transformer: its layers and vector, attention and positions by hand, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.shapes import map_shapes
from ssl_models.encoders.transformer import Attention, Block, attended, resized, sine_positions
from ssl_models.encoders.vit import ViT, patch_for
from ssl_models.errors import DoesNotApply
from ssl_models.extraction import POOLED, feature_layers
from ssl_models.method import method_class

torch.set_num_threads(1)
SMALL: dict[str, Any] = {"patch": 4, "width": 16, "depth": 2, "heads": 2, "size": [16, 16]}
BOTH = ("token", "mean")


def built(**settings: Any) -> ViT:
    """A small one, the same at every call; its layer norms are made to differ from the identity."""
    torch.manual_seed(0)
    vit = ViT(**SMALL | settings).eval()
    for name, parameter in vit.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    return vit


def pictures(height: int = 16, width: int = 16, *, channels: int = 3, count: int = 2) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "patch"),
    [
        *(((side, side), patch) for side, patch in ((32, 4), (48, 4), (64, 8), (96, 8), (128, 16), (224, 16))),
        *(((side, side), patch) for side, patch in ((4, 2), (16, 2), (28, 2), (100, 5), (150, 15), (33, 3))),
        *(((height, width), patch) for height, width, patch in ((64, 96, 8), (32, 224, 4), (100, 150, 5), (48, 36, 4))),
    ],
)
def test_patch_auto_leaves_eight_patches_along_the_shorter_side_and_divides_both(
    size: tuple[int, int], patch: int
) -> None:
    vit = ViT.from_data(DataSpec(1, {"images": (1, *size)}), width=8, depth=1, heads=1)
    assert vit.patch == patch_for(list(size)) == patch
    assert vit.grid == (size[0] // patch, size[1] // patch)
    assert vit.settings["channels"] == 1
    assert map_shapes(vit, (1, *size)) == {"block1": (8, *vit.grid)}


@pytest.mark.parametrize("size", [[33, 32], [97, 97], [31, 31]])
def test_auto_refuses_sides_that_only_much_smaller_patches_divide(size: list[int]) -> None:
    with pytest.raises(ValueError, match=f"pictures of {size[0]} x {size[1]} px have no whole number of patches"):
        ViT(size=size)


@pytest.mark.parametrize("pooling", BOTH)
def test_layers_are_the_blocks_maps_and_the_vector_is_pooled_as_asked(pooling: str) -> None:
    vit, given = built(pooling=pooling, depth=3, size=[16, 24]), pictures(16, 24)
    layers, vectors = vit.represent(given)
    assert {name: tuple(found.shape) for name, found in layers.items()} == {
        f"block{number}": (2, 16, 4, 6) for number in (1, 2, 3)
    }
    assert all(torch.equal(found, layers[name]) for name, found in vit.layers(given).items())
    assert torch.equal(vit(given), vectors)
    assert feature_layers(vit, {"images": (255 * given).byte()}) == (*layers, POOLED)
    hidden = vit.with_class(vit.embed(vit.standardise(given)))
    for block in vit.transformer:
        hidden = block(hidden)
    whole = hidden[:, 0] if pooling == "token" else layers["block3"].mean((2, 3))
    torch.testing.assert_close(vectors, vit.norm(whole))


def test_defaults_are_those_of_vit_tiny() -> None:
    with torch.device("meta"):
        vit = ViT()
    assert {name: vit.settings[name] for name in ("patch", "width", "depth", "heads", "mlp_ratio", "size")} == {
        **{"patch": 16, "width": 192, "depth": 12, "heads": 3, "mlp_ratio": 4.0, "size": [224, 224]}
    }
    assert sum(parameter.numel() for parameter in vit.parameters()) == 5_524_416  # as Touvron et al.: 5 million


def test_a_patch_s_token_is_a_linear_map_of_its_own_pixels_and_maps_keep_their_places() -> None:
    vit, given = built(size=[8, 12]), pictures(8, 12)
    torch.nn.init.zeros_(vit.pos_embed)
    weight, bias = vit.patch_embed.proj.weight.flatten(1), vit.patch_embed.proj.bias
    tokens = vit.embed(vit.standardise(given))
    for row in range(2):
        for column in range(3):
            cut = 4 * given[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten(1) - 2
            torch.testing.assert_close(tokens[:, 3 * row + column], cut @ weight.T + bias)
    for block in vit.transformer:  # then a block adds nothing, and the maps are the tokens
        for last in (block.attn.proj, block.mlp.fc2):
            torch.nn.init.zeros_(last.weight)
    for found in vit.layers(given).values():
        assert torch.equal(found[:, :, 1, 2], tokens[:, 5])


def test_attention_is_a_softmax_over_all_tokens_in_each_head() -> None:
    torch.manual_seed(0)
    attention, tokens = Attention(6, 3), torch.randn(2, 4, 6)
    torch.nn.init.normal_(attention.qkv.bias)
    query, key, value = attention.qkv(tokens).detach().split(6, dim=2)
    expected = torch.zeros_like(tokens)
    for sample in range(2):
        for head in (slice(0, 2), slice(2, 4), slice(4, 6)):
            for one in range(4):
                scores = [float(query[sample, one, head] @ key[sample, other, head]) / 2**0.5 for other in range(4)]
                shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
                expected[sample, one, head] = sum(
                    share * value[sample, other, head] for other, share in enumerate(shares)
                )
    torch.testing.assert_close(attention(tokens), attention.proj(expected))


def test_attention_of_bf16_is_computed_in_float32_and_rounded_once() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 65, 16).bfloat16() for _ in range(3))
    query = query.requires_grad_()
    weights = (query.double() @ key.double().transpose(-1, -2) / 16**0.5).softmax(-1)
    wanted = (weights @ value.double()).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = attended(query, key, value)
    assert found.dtype == torch.bfloat16
    rounding = wanted.abs() * 2**-8 + 1e-6  # half a unit in the last of eight binary places
    assert bool(((found.float() - wanted).abs() <= rounding).all())
    found.float().square().sum().backward()
    assert query.grad is not None
    assert query.grad.dtype == torch.bfloat16


def test_a_block_is_unchanged_by_the_order_of_tokens() -> None:
    torch.manual_seed(0)
    block, tokens, order = Block(8, 2, 4.0), torch.randn(2, 5, 8), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(block(tokens)[:, order], block(tokens[:, order]))


def test_sine_positions_are_those_of_a_loop() -> None:
    found = sine_positions(2, 3, 8)
    assert found.shape == (1, 6, 8)
    for row in range(2):
        for column in range(3):
            waves = [
                wave(place / 10_000 ** (number / 2))
                for place in (column, row)
                for wave in (math.sin, math.cos)
                for number in (0, 1)
            ]
            assert found[0, 3 * row + column].tolist() == pytest.approx(waves, abs=1e-6)


def test_sine_positions_are_not_learnt_and_the_class_token_has_none() -> None:
    vit = built(positions="sine")
    assert "pos_embed" not in dict(vit.named_parameters())
    assert torch.equal(vit.pos_embed[:, 1:], sine_positions(4, 4, 16))
    assert not vit.pos_embed[:, 0].any()
    assert "pos_embed" in dict(built().named_parameters())


@pytest.mark.parametrize("size", [(8, 8), (8, 16), (24, 16)])
def test_pictures_of_another_size_have_positions_of_their_own_grid(size: tuple[int, int]) -> None:
    grid, given = (size[0] // 4, size[1] // 4), pictures(*size)
    learnt, sine = built(), built(positions="sine")
    for vit, expected in (
        (learnt, resized(learnt.pos_embed[:, 1:], (4, 4), grid)),
        (sine, sine_positions(*grid, 16)),
    ):
        tokens = vit.patch_embed(vit.standardise(given))
        torch.testing.assert_close(vit.embed(vit.standardise(given)) - tokens, expected.expand_as(tokens))
        assert vit.layers(given)["block2"].shape == (2, 16, *grid)
        assert vit(given).shape == (2, 16)


def test_interpolated_positions_keep_a_constant_and_the_direction_of_a_slope() -> None:
    constant = torch.full((1, 12, 2), 0.7)
    torch.testing.assert_close(resized(constant, (3, 4), (5, 2)), torch.full((1, 10, 2), 0.7))
    row, column = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij")
    slopes = torch.stack([row.flatten(), column.flatten()], dim=1)[None]
    found = resized(slopes, (3, 4), (6, 8)).view(6, 8, 2)
    assert (found[1:-1].diff(dim=0)[..., 0] > 0).all()
    assert (found[:, 1:-1].diff(dim=1)[..., 1] > 0).all()
    torch.testing.assert_close(found[..., 0], found[:, :1, 0].expand(6, 8))
    assert resized(slopes, (3, 4), (3, 4)) is slopes


def test_of_shown_computes_the_shown_patches_as_if_there_were_no_others() -> None:
    vit, given = built(), pictures()
    every = torch.arange(16).expand(2, -1)
    hidden = vit.with_class(vit.embed(vit.standardise(given)))
    for block in vit.transformer:
        hidden = block(hidden)
    torch.testing.assert_close(vit.of_shown(given, every), vit.norm(hidden))
    torch.testing.assert_close(vit.of_shown(given, every)[:, 0], vit(given))
    shown = torch.tensor([[3, 0, 7], [9, 2, 15]])
    found = vit.of_shown(given, shown)
    assert found.shape == (2, 4, 16)
    for row in range(2):
        alone = vit.embed(vit.standardise(given))[row : row + 1, shown[row]]
        for_one = vit.with_class(alone)
        for block in vit.transformer:
            for_one = block(for_one)
        torch.testing.assert_close(found[row : row + 1], vit.norm(for_one))


@pytest.mark.parametrize("settings", [{}, {"positions": "sine", "pooling": "mean", "size": [16, 8], "mlp_ratio": 2.5}])
def test_settings_and_weights_make_the_same_encoder_again(settings: dict[str, Any]) -> None:
    first = built(channels=1, **settings)
    second = build_encoder("vit", **first.settings).eval()
    assert second.settings == first.settings
    second.load_state_dict(first.state_dict())
    given = pictures(*first.settings["size"], channels=1)
    assert torch.equal(first(given), second(given))
    assert build_encoder("vit", **ViT(patch="auto", width=8, depth=1, heads=1).settings).patch == 16


def test_it_has_no_layer_that_follows_from_the_one_before() -> None:
    with pytest.raises(DoesNotApply, match="the encoder 'vit' cannot compute one layer from the one before"):
        built().blocks()
    with pytest.raises(DoesNotApply, match="the representation of the encoder 'vit' is no function of its last layer"):
        built().pool(torch.zeros(1, 16, 4, 4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 0}, "encoder patch is 0; it must be at least 1, or auto"),
        ({"patch": "large"}, "encoder patch is 'large'"),
        ({"patch": 5}, "encoder patch is 5; pictures of 16 x 16 px have no whole number of patches"),
        ({"patch": 32}, "encoder patch is 32; pictures of 16 x 16 px"),
        ({"width": 0}, "encoder width is 0"),
        ({"depth": 0}, "encoder depth is 0"),
        ({"heads": 0}, "encoder heads is 0"),
        ({"heads": 3}, "encoder width is 16; it must be divisible by the number of heads, 3"),
        ({"mlp_ratio": 0.0}, "encoder mlp_ratio is 0.0; times the width, 16, it must be at least 1"),
        ({"mlp_ratio": 0.05}, "encoder mlp_ratio is 0.05"),
        ({"mlp_ratio": math.inf}, "encoder mlp_ratio is inf"),
        ({"positions": "rotary"}, "encoder positions is 'rotary'; choose one of learnt, sine"),
        ({"positions": "sine", "width": 6}, "encoder width is 6; sine positions need one that is divisible by 4"),
        ({"pooling": "max"}, "encoder pooling is 'max'; choose one of token, mean"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built(**settings)


def test_pictures_that_have_no_whole_number_of_patches_are_refused() -> None:
    with pytest.raises(ValueError, match="encoder patch is 4; pictures of 16 x 18 px have no whole number of patches"):
        built()(pictures(16, 18))


@pytest.mark.parametrize(
    ("method", "side", "settings", "message"),
    [
        ("jigsaw", 32, {"tile": 9}, r"the encoder 'vit' cannot take tiles of 9 x 9 px \(encoder patch is 4; .*\)$"),
        ("swav", 36, {"small_crops": 1}, r"the encoder 'vit' cannot take small views of 18 x 18 px \(.* patch is 4"),
        ("dino", 36, {}, "the encoder 'vit' cannot take small views of 18 x 18 px"),
        ("simclr", 36, {"small_crops": 1}, "the encoder 'vit' cannot take small views of 18 x 18 px"),
        ("moco", 36, {"small_crops": 1}, "the encoder 'vit' cannot take small views of 18 x 18 px"),
    ],
)
def test_tiles_and_small_views_in_parts_of_patches_are_refused_at_construction(
    method: str, side: int, settings: dict[str, Any], message: str
) -> None:
    data = DataSpec(64, {"images": (3, side, side)})
    kind: Any = method_class(method)
    vit = ViT.from_data(data, width=8, depth=1, heads=1)
    with pytest.raises(ValueError, match=message):
        kind(vit, data, **settings)
    if method != "jigsaw":
        assert kind(vit, data, small_crops=0).multi_crop.count == 0
