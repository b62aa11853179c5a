"""The encoder that sees lightness alone, and the methods that train it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from ssl_models import weights
from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.lightness import Lightness
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.vit import ViT
from ssl_models.errors import DoesNotApply
from ssl_models.methods.colorization import Colorization
from ssl_models.methods.multi_pretext import MultiPretext
from ssl_models.views.lab import lab_to_rgb, rgb_to_lab

torch.set_num_threads(1)
SIDE = 24


def resnet(**settings: Any) -> ResNet:
    torch.manual_seed(0)
    return ResNet(**{"depth": 10, "width": 4} | settings)


def vit() -> ViT:
    torch.manual_seed(0)
    return ViT(width=16, depth=2, heads=2, patch=8, size=[SIDE, SIDE])


def equally_light() -> tuple[Tensor, Tensor]:
    """Two batches (3, 3, SIDE, SIDE) of the same lightness everywhere, in other colours."""
    generator = Generator().manual_seed(1)
    lightness = 50 + 10 * torch.rand(3, 1, SIDE, SIDE, generator=generator)
    colours = [20 * torch.rand(3, 2, SIDE, SIDE, generator=generator) - 10 for _ in range(2)]
    one, other = (lab_to_rgb(torch.cat([lightness, ab], 1)) for ab in colours)
    assert (one - other).abs().max() > 0.05
    torch.testing.assert_close(rgb_to_lab(one)[:, :1], lightness, rtol=0, atol=0.05)
    return one, other


@pytest.mark.parametrize("make", [resnet, vit])
def test_pictures_of_equal_lightness_have_equal_features_in_every_layer(make: Any) -> None:
    one, other = equally_light()
    inner = make().eval()
    encoder = Lightness.over(inner)
    for layer, found in encoder.layers(one).items():
        torch.testing.assert_close(found, encoder.layers(other)[layer], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(encoder(one), encoder(other), rtol=1e-3, atol=1e-3)
    assert (inner(one) - inner(other)).abs().max() > 0.01


@pytest.mark.parametrize("make", [resnet, vit])
def test_it_computes_what_the_other_does_of_lightness_in_three_channels(make: Any) -> None:
    inner = make().eval()
    encoder, (pictures, _) = Lightness.over(inner), equally_light()
    lightness = rgb_to_lab(pictures)[:, :1] / 100
    expected = inner.represent(lightness.expand(-1, 3, -1, -1))
    for given in (pictures, lightness):
        layers, vectors = encoder.represent(given)
        assert list(layers) == list(expected[0])
        for layer, found in layers.items():
            torch.testing.assert_close(found, expected[0][layer])
        torch.testing.assert_close(vectors, expected[1])
        torch.testing.assert_close(encoder.vectors_of(given), expected[1])
        torch.testing.assert_close(encoder(given), expected[1])


def test_its_blocks_lead_from_its_input_to_its_vector() -> None:
    encoder, (pictures, _) = Lightness.over(resnet()).eval(), equally_light()
    hidden = encoder.standardise(pictures)
    for block in encoder.blocks().values():
        hidden = block(hidden)
    torch.testing.assert_close(encoder.pool(hidden), encoder(pictures))


def test_it_is_built_again_from_its_settings_and_keeps_weights_and_their_published_names() -> None:
    inner = resnet()
    encoder = Lightness.over(inner)
    assert encoder.network is inner
    assert Lightness.over(encoder) is encoder
    again = build_encoder(encoder.name, **encoder.settings)
    again.load_state_dict(encoder.state_dict())
    pictures, _ = equally_light()
    torch.testing.assert_close(again.eval()(pictures), encoder.eval()(pictures))
    assert [encoder.published_name(name) for name in encoder.state_dict()] == [
        inner.published_name(name) for name in inner.state_dict()
    ]
    assert encoder.files == ("lightness", "resnet")


def test_data_give_the_other_encoder_what_it_takes_from_them() -> None:
    settings = {"width": 16, "depth": 2, "heads": 2}
    encoder = Lightness.from_data(DataSpec(9, {"images": (3, 32, 48)}), of="vit", settings=settings)
    assert encoder.settings["settings"]["size"] == [32, 48]
    assert encoder(torch.rand(2, 3, 32, 48)).shape == (2, 16)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (resnet(channels=1), "the encoder 'resnet' takes pictures of 1: give it one that takes 3"),
        (resnet(channels=4), "the encoder 'resnet' takes pictures of 4"),
        (build_encoder("spectrogram", width=4), "the encoder 'spectrogram' takes no pictures alone"),
    ],
    ids=["grey", "nearness", "sound"],
)
def test_what_takes_no_pictures_of_three_channels_is_refused(other: Encoder, message: str) -> None:
    with pytest.raises(DoesNotApply, match=f"lightness is told of pictures of 3 channels, .* and {message}"):
        Lightness.over(other)


@pytest.mark.parametrize("kind", ["colorization", "multi_pretext"])
def test_what_colorization_trains_is_blind_to_colour_ever_after(kind: str) -> None:
    data = DataSpec(20, {"images": (3, SIDE, SIDE)})
    method = Colorization(resnet(), data) if kind == "colorization" else MultiPretext(resnet(), data)
    assert isinstance(method.encoder, Lightness)
    one, other = equally_light()
    optimiser = torch.optim.SGD(method.parameters(), 0.05)
    generator = Generator().manual_seed(2)
    images = torch.randint(0, 256, (8, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    before = [parameter.clone() for parameter in method.encoder.parameters()]
    for _ in range(4):
        scored = method.loss(*method.views(images, generator), index=torch.arange(8))
        terms = scored if isinstance(scored, dict) else scored.terms
        optimiser.zero_grad()
        sum(term for term in terms.values() if term.requires_grad).backward()
        optimiser.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, method.encoder.parameters(), strict=True))
    method.eval()
    torch.testing.assert_close(method.encoder(one), method.encoder(other), rtol=1e-3, atol=1e-3)


def test_tasks_without_colorization_see_colours() -> None:
    method = MultiPretext(resnet(), DataSpec(20, {"images": (3, SIDE, SIDE)}), tasks=["rotation", "relative_position"])
    assert isinstance(method.encoder, ResNet)


def test_another_network_goes_on_with_what_was_learnt_from_lightness(tmp_path: Path) -> None:
    learnt, other = Lightness.over(resnet()), ResNet(depth=10, width=4)
    save_file(learnt.state_dict(), tmp_path / "encoder.safetensors")
    (tmp_path / "encoder.json").write_text(json.dumps({"name": learnt.name, "settings": learnt.settings}))
    weights.load(other, tmp_path, whole=True)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, learnt.network.state_dict()[name])
