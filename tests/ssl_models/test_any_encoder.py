"""Every method on pictures and every protocol that runs an encoder works with any encoder, or says why not."""

from __future__ import annotations

import inspect
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.extraction import feature_layers
from ssl_models.method import Method, Scored, method_class
from tests.ssl_models.built_methods import NAMES, kind
from tests.ssl_models.test_every_protocol import with_everything

torch.set_num_threads(1)
BATCH, SIDE = 8, 32
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "torchvision": ("torchvision", {"model": "resnet18"}),
    "timm": ("timm", {"model": "vit_tiny_patch16_224", "size": SIDE, "options": {"depth": 3, "patch_size": 8}}),
    "bottlenecks": ("resnet", {"depth": 50, "width": 4}),
    "vit": ("vit", {"width": 32, "depth": 3, "heads": 2, "size": [SIDE, SIDE]}),
}
METHODS = [(name, {}) for name in NAMES if kind(name) == "images"] + [("denoising_autoencoder", {"stacked": True})]
FEW: dict[str, dict[str, Any]] = {"cpc_image": {"negatives": 16}, "pirl": {"negatives": 8}, "npid": {"negatives": 8}}
ALONE = "cannot compute one layer from the one before"
REFUSED = {
    ("split_brain", "torchvision"): "cannot split encoder 'torchvision'",
    ("split_brain", "timm"): "cannot split encoder 'timm'",
    ("denoising_autoencoder, stacked", "torchvision"): f"the encoder 'torchvision' {ALONE}",
    ("denoising_autoencoder, stacked", "timm"): f"the encoder 'timm' {ALONE}",
    ("split_brain", "vit"): "cannot split encoder 'vit'",
    ("denoising_autoencoder, stacked", "vit"): f"the encoder 'vit' {ALONE}",
    **{("mae", key): "mae hides patches of a vision transformer" for key in ("torchvision", "timm", "bottlenecks")},
}
"""Method and encoder -> what is said at construction."""


def encoder(key: str) -> Encoder:
    torch.manual_seed(0)
    name, settings = ENCODERS[key]
    return build_encoder(name, **settings)


def method(name: str, key: str, **settings: Any) -> Method:
    labels = torch.arange(64) % 4
    data = DataSpec(64, {"images": (3, SIDE, SIDE)}, labels, 4, torch.randn(64, 4))
    kind: Any = method_class(name)
    return kind(encoder(key), data, **FEW.get(name, {}), **settings)


@pytest.mark.parametrize("key", ENCODERS)
@pytest.mark.parametrize(("name", "settings"), METHODS, ids=lambda given: given or "")
def test_a_method_trains_any_encoder_or_says_why_not(name: str, settings: dict[str, Any], key: str) -> None:
    if reason := REFUSED.get((f"{name}, stacked" if settings else name, key)):
        with pytest.raises(ValueError, match=reason):
            method(name, key, **settings)
        return
    built = method(name, key, **settings)
    if not built.trains:
        return
    images = torch.randint(256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    views = built.views(images, torch.Generator().manual_seed(0))
    terms = Scored.of(built.loss(*views, index=torch.arange(BATCH))).terms
    torch.stack([term for term in terms.values() if term.requires_grad]).sum().backward()
    gradients = [parameter.grad for parameter in built.encoder.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_tiles_that_are_too_small_for_a_network_are_refused_at_construction() -> None:
    torch.manual_seed(0)
    own = build_encoder("torchvision", model="squeezenet1_1")
    data = DataSpec(64, {"images": (3, SIDE, SIDE)})
    with pytest.raises(
        ValueError, match=r"model 'squeezenet1_1', cannot take tiles of 8 x 8 px .* set the encoder's `size`"
    ):
        method_class("jigsaw")(own, data, tile=8)  # type: ignore[call-arg]


@pytest.mark.parametrize("key", ENCODERS)
@pytest.mark.parametrize("name", ["detection", "finetune", "invariance", "keypoints", "surface_normals"])
def test_a_protocol_that_runs_an_encoder_takes_any(name: str, key: str) -> None:
    given, own = with_everything(24, 8), encoder(key)
    layers = feature_layers(own, {"images": torch.from_numpy(given.images("train"))})
    given = replace(given, layers=layers, encoder=lambda: deepcopy(own))
    evaluate = import_module(f"ssl_models.protocols.{name}").evaluate
    quick = {"epochs": 1, "samples": 8, "factors": False}
    quick = {word: value for word, value in quick.items() if word in inspect.signature(evaluate).parameters}
    assert evaluate(given, seed=0, **quick).scores
