"""Weights of torchvision and timm: files into their networks and the own ResNet, and names without a network."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
import torch
from safetensors.torch import save_file

from ssl_models.encoders import build_encoder
from ssl_models.weights import load
from ssl_models.weights.published import DEFAULT

torch.set_num_threads(1)
timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision").models


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    """torchvision's ResNet-18 of random weights, and a file of them."""
    network = models.resnet18().eval()
    file = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), file)
    return network, file


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_network_of_a_library_is_given_all_of_its_weights_and_then_computes_the_same(resnet18, library):
    network, file = resnet18
    encoder = build_encoder(library, model="resnet18", normalise="own").eval()
    fit = load(encoder, file, whole=True)
    assert (fit.share, fit.heads, fit.unused) == (1.0, ("fc.weight", "fc.bias"), ())
    network.fc, pictures = torch.nn.Identity(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(encoder(pictures), network((pictures - 0.5) / 0.25), atol=1e-4)


def test_the_own_resnet_takes_torchvision_s_weights_by_their_names_there(resnet18):
    network, file = resnet18
    encoder = build_encoder("resnet", depth=18, width=64, stem="imagenet").eval()
    assert load(encoder, file, whole=True).share == 1.0
    network.fc, pictures = torch.nn.Identity(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(encoder(pictures), network((pictures - 0.5) / 0.25), atol=1e-4)


@pytest.mark.parametrize(("library", "channels"), [("torchvision", 3), ("timm", 3), ("timm", 1)])
def test_mean_and_deviation_are_those_of_the_encoders_own_settings(library, channels, tmp_path):
    donor = build_encoder(library, model="resnet18", channels=channels).eval()
    save_file(donor.state_dict(), tmp_path / "encoder.safetensors")
    encoder = build_encoder(library, model="resnet18", channels=channels, normalise="own").eval()
    fit = load(encoder, tmp_path, whole=True)
    assert (fit.share, fit.unused) == (1.0, ("preparation.deviation", "preparation.mean"))
    assert encoder.standardise(torch.ones(1, channels, 4, 4)).unique().tolist() == [2]
    pictures = torch.rand(2, channels, 64, 64)
    with torch.no_grad():
        assert torch.allclose(encoder(pictures), donor.network((pictures - 0.5) / 0.25), atol=1e-4)


def test_a_vit_of_another_size_has_its_positions_resampled_as_timm_does(tmp_path):
    from timm.layers import resample_abs_pos_embed

    given = timm.create_model("vit_tiny_patch16_224", depth=1).state_dict()
    file = tmp_path / "dino.pth"
    torch.save({"teacher": {f"backbone.{name}": value for name, value in given.items()}}, file)
    encoder = build_encoder("timm", model="vit_tiny_patch16_224", size=96, options={"depth": 1})
    fit = load(encoder, file, whole=True)
    assert fit.resampled == ("network.pos_embed",)
    expected = resample_abs_pos_embed(given["pos_embed"], [6, 6], num_prefix_tokens=1)
    assert torch.allclose(encoder.network.pos_embed, expected)


@pytest.mark.parametrize(
    ("library", "name", "message"),
    [
        (
            "torchvision",
            "DEFALT",
            r"torchvision has none .* 'resnet18'\. Did you mean 'DEFAULT'\? Known: IMAGENET1K_V1",
        ),
        ("timm", "a1_in1", r"timm has none .* 'resnet18'\. Did you mean 'a1_in1k'\? Known: DEFAULT, a1_in1k"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest(library, name, message):
    with pytest.raises(ValueError, match=message):
        load(build_encoder(library, model="resnet18"), name)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_where_there_is_no_network_that_is_said_with_the_way_out(library, monkeypatch, tmp_path, capsys):
    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"{library}'s 'resnet18' could not be fetched from .* give the file"):
        load(build_encoder(library, model="resnet18"), DEFAULT)
    said = f"fetching the weights DEFAULT of {library} model resnet18, where they are not here yet\n"
    assert capsys.readouterr().out.startswith(said)
