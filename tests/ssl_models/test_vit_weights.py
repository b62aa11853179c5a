"""The vision transformer's weights: by name to timm's network and back, and out of files of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ssl_models.encoders.vit import ViT
from ssl_models.weights import load
from ssl_models.weights.fitting import best_fit
from ssl_models.weights.reading import Group

torch.set_num_threads(1)
timm = pytest.importorskip("timm")
POOLS = {"token": "token", "mean": "avg"}
"""Our pooling -> timm's."""


def own(**settings: Any) -> ViT:
    torch.manual_seed(1)
    return ViT(**{"patch": 4, "width": 48, "depth": 3, "heads": 3, "size": [32, 32]} | settings).eval()


def theirs(pooling: str, side: int = 32, **more: Any) -> nn.Module:
    """timm's network of the same settings; no two of its weights are alike."""
    given = {"img_size": side, "patch_size": 4, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 0}
    network: nn.Module = timm.create_model("vit_tiny_patch16_224", global_pool=POOLS[pooling], **given | more)
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        nn.init.normal_(parameter, float(parameter.ndim == 1), 0.1, generator=generator)
    return network.eval()


def require_same(vit: ViT, network: nn.Module, *size: int) -> None:
    """Both give the same vectors, which differ from picture to picture."""
    pictures = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        vectors = vit(pictures)
        torch.testing.assert_close(vectors, network((pictures - 0.5) / 0.25), rtol=1e-5, atol=1e-5)
    assert vectors.std(0).max() > 0.01


@pytest.mark.parametrize("settings", [{}, {"mlp_ratio": 2.66}], ids=str)
@pytest.mark.parametrize("pooling", POOLS)
def test_weights_go_to_timm_by_name_and_back(pooling: str, settings: dict[str, Any]) -> None:
    vit, network = own(pooling=pooling, **settings), theirs(pooling, **settings)
    names = {vit.published_name(name): name for name in vit.state_dict()}
    assert names.keys() == network.state_dict().keys()
    vit.load_state_dict({names[name]: tensor for name, tensor in network.state_dict().items()})
    require_same(vit, network, 32, 32)
    changed = own(pooling=pooling, **settings)
    network.load_state_dict({vit.published_name(name): tensor for name, tensor in changed.state_dict().items()})
    require_same(changed, network, 32, 32)


def test_other_sizes_have_timm_s_interpolated_positions() -> None:
    vit, network = own(), theirs("token", dynamic_img_size=True)
    network.load_state_dict({vit.published_name(name): tensor for name, tensor in vit.state_dict().items()})
    for size in ((16, 16), (48, 24), (32, 32)):
        require_same(vit, network, *size)


@pytest.mark.parametrize("pooling", POOLS)
@pytest.mark.parametrize("below", ["", "module.backbone."])
def test_all_of_timm_s_weights_are_found_in_a_checkpoint(pooling: str, below: str) -> None:
    vit, network = own(pooling=pooling), theirs(pooling)
    tensors = {f"{below}{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"{below}head.weight": torch.zeros(5, 48)}
    fit = best_fit(vit, [Group("teacher", tensors)], "a.pth")
    assert (fit.share, fit.missing, fit.other_shapes, fit.unused, fit.resampled) == (1.0, (), (), (), ())
    assert fit.heads == (f"{below}head.weight",)
    assert fit.tensors.keys() == vit.state_dict().keys()
    fit.copy_into(vit)
    require_same(vit, network, 32, 32)


def test_own_weights_are_found_whole(tmp_path: Path) -> None:
    donor, vit = own(), own()
    nn.init.normal_(donor.cls_token)
    save_file(donor.state_dict(), tmp_path / "encoder.safetensors")
    assert load(vit, tmp_path, whole=True).share == 1.0
    assert all(torch.equal(tensor, vit.state_dict()[name]) for name, tensor in donor.state_dict().items())


def test_a_norm_of_tokens_is_none_of_their_mean() -> None:
    """timm norms the mean of raw tokens by `fc_norm`; a network pooled by its token has none."""
    fit = best_fit(own(pooling="mean"), [Group("", theirs("token").state_dict())], "a.pth")
    assert fit.missing == ("norm.weight", "norm.bias")
    assert fit.unused == ("norm.weight", "norm.bias")
    assert 0.99 < fit.share < 1


@pytest.mark.parametrize("size", [[16, 16], [64, 48], [32, 128], [8, 32]])
def test_positions_of_a_square_are_resampled_to_the_encoders_own_grid(size: list[int]) -> None:
    """8 x 32 px have 2 x 8 patches, as many as a square of 4 x 4 has."""
    from timm.layers import resample_abs_pos_embed

    network, vit = theirs("token"), own(size=size)
    fit = best_fit(vit, [Group("", network.state_dict())], "a.pth")
    assert (fit.share, fit.missing, fit.resampled) == (1.0, (), ("pos_embed",))
    fit.copy_into(vit)
    given: Tensor = network.get_parameter("pos_embed")
    torch.testing.assert_close(vit.pos_embed, resample_abs_pos_embed(given, list(vit.grid), num_prefix_tokens=1))


def test_positions_of_two_more_tokens_are_not_taken_for_those_of_the_encoder() -> None:
    network = theirs("token", class_token=True, reg_tokens=2)
    tensors = network.state_dict() | {"pos_embed": torch.zeros(1, 3 + 64, 48)}
    fit = best_fit(own(), [Group("", tensors)], "a.pth")
    assert fit.other_shapes == ("pos_embed is (1, 67, 48) there and (1, 65, 48) here",)
    assert fit.resampled == ()
