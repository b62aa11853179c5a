"""Methods on sound, text and vectors: those that read what the encoder reads learn, those of pictures do not apply."""

from __future__ import annotations

import math
import pkgutil

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

import ssl_models.methods
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy_net import EnergyNet
from ssl_models.encoders.rbm import RBM
from ssl_models.errors import NeedsParts
from ssl_models.extraction import MOTION, POOLED, extract_features, feature_layers
from ssl_models.method import Method, method_class, require_parts
from ssl_models.methods.distillation import Distillation
from ssl_models.methods.random import Random
from ssl_models.methods.supervised import Supervised
from ssl_models.modalities.inputs import inputs
from ssl_models.modalities.pooling import pool
from ssl_models.trainer import Settings, Training
from tests.ssl_models import densities, kinds

NAMES = sorted(module.name for module in pkgutil.iter_modules(ssl_models.methods.__path__))
OF_PICTURES = [name for name in NAMES if method_class(name).parts == ("images",)]


@pytest.mark.parametrize("name", OF_PICTURES)
def test_a_method_that_reads_images_does_not_apply_to_sound(name: str) -> None:
    heard = DataSpec(8, {"sound": (1600,), "length": (1,)})
    with pytest.raises(NeedsParts, match=f"the method '{name}' reads images, and these samples have sound, length"):
        require_parts(method_class(name), name, heard)


def test_there_are_such_methods() -> None:
    assert {"simclr", "rotation", "jigsaw", "pirl", "moco"} <= set(OF_PICTURES)


def test_methods_that_read_whatever_the_encoder_reads_apply_to_all() -> None:
    for method in (Random, Supervised, Distillation):
        require_parts(method, "m", DataSpec(8, {"tokens": (9,)}))
    with pytest.raises(NeedsParts, match="the encoder 'ear' reads sound, and these samples have tokens"):
        Random(kinds.Ear(), DataSpec(8, {"tokens": (9,)}))


COUNT = 48
GIVEN = {
    "sound": (kinds.Ear, lambda: kinds.recordings(COUNT, 0), "sound", "word", 4),
    "text": (kinds.Bag, lambda: kinds.texts(COUNT, 0), "tokens", "topic", 3),
    "vectors": (lambda: RBM(visible=9), lambda: densities.binary(COUNT, 0), "vectors", "label", 2),
    "real vectors": (lambda: EnergyNet(visible=2), lambda: densities.reals(COUNT, 0), "vectors", "label", 4),
}


def prepared(kind: str) -> tuple[Encoder, DataSpec, Tensor, Tensor]:
    make_encoder, make, part, labels, classes = GIVEN[kind]
    data = {name: torch.from_numpy(np.asarray(values)) for name, values in make().items()}
    ids = data[labels].long()
    torch.manual_seed(0)
    shapes = {name: tuple(data[name].shape[1:]) for name in ("sound", "length", "tokens", "vectors") if name in data}
    targets = 3.0 * nn.functional.one_hot(ids, classes)
    return make_encoder(), DataSpec(COUNT, shapes, ids, classes, targets), data[part], ids


def trained(method: Method, stored: Tensor, epochs: int = 60) -> Method:
    settings = Settings(epochs=epochs, batch_size=16, optimizer="adamw", learning_rate=0.2, weight_decay=0.0)
    Training(method, [stored], settings, seed=0).run()
    return method.eval()


@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize("build", [Supervised, Distillation])
def test_training_on_labels_or_on_a_teacher_learns_any_kind(build, kind: str) -> None:
    encoder, data, stored, ids = prepared(kind)
    method = build(encoder, data)
    assert method.parts == (GIVEN[kind][2],)
    views = method.views(stored, Generator().manual_seed(0))
    assert [view.shape for view in views] == [stored.shape]
    classifier = trained(method, stored).classifier()
    with torch.inference_mode():
        right = (classifier(method.encoder(inputs(stored))).argmax(1) == ids).float().mean()
    assert right > 0.9


@pytest.mark.parametrize("kind", GIVEN)
def test_the_loss_on_any_kind_is_the_cross_entropy_of_the_labels(kind: str) -> None:
    encoder, data, stored, ids = prepared(kind)
    method, index = Supervised(encoder, data).eval(), torch.tensor([5, 2, 9])
    (view,) = method.views(stored[index], Generator().manual_seed(0))
    logits = method.head(encoder(view)).detach()
    expected = -sum(math.log(float(row.softmax(0)[ids[k]])) for row, k in zip(logits, index, strict=True)) / 3
    assert float(method.loss(view, index=index)["loss"].detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", GIVEN)
def test_random_keeps_an_encoder_of_any_kind_as_it_is(kind: str) -> None:
    encoder, data, _, _ = prepared(kind)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    method = Random(encoder, data)
    assert (method.parts, method.trains) == ((GIVEN[kind][2],), False)
    assert all(torch.equal(value, before[name]) for name, value in method.encoder.state_dict().items())


@pytest.mark.parametrize("kind", GIVEN)
def test_features_of_any_kind_are_those_of_the_layers(kind: str) -> None:
    encoder, _, stored, _ = prepared(kind)
    part = GIVEN[kind][2]
    batches = list(extract_features(encoder, {part: stored}, torch.device("cpu"), batch_size=20, size=64))
    found = {layer: torch.cat([batch[layer] for batch in batches]).float() for layer in batches[0]}
    assert feature_layers(encoder, {part: stored}) == tuple(found)
    with torch.inference_mode():
        maps, output = encoder.layers(inputs(stored)), encoder(inputs(stored))
    for layer, activations in maps.items():
        torch.testing.assert_close(found[layer], pool(activations, 64), rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(found[POOLED], output, rtol=2e-3, atol=2e-3)
    assert MOTION not in found
