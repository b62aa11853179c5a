"""Encoders of vectors as any other encoder: their views, their features, the monitor, and protocols on hidden units."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Generator

from ssl_models.collapse import DEVIATION, PROBE, RANKME
from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy_net import EnergyNet
from ssl_models.encoders.rbm import RBM
from ssl_models.extraction import POOLED, extract_features, feature_layers
from ssl_models.modalities import mild_views, vectors
from ssl_models.monitor import Monitor, operations
from tests.ssl_models import densities

torch.set_num_threads(1)
CPU = torch.device("cpu")


def encoder(name: str) -> Encoder:
    torch.manual_seed(0)
    made = {
        "rbm": lambda: RBM(visible=9, hidden=5),
        "real rbm": lambda: RBM(visible=2, hidden=5, binary=False),
        "boltzmann": lambda: Boltzmann(visible=9),
        "net": lambda: EnergyNet(visible=2, width=8, depth=3),
    }[name]()
    with torch.no_grad():
        for weights in made.parameters():
            weights.add_(0.5 * torch.randn_like(weights))
    return made


def stored(name: str, count: int = 300) -> dict[str, torch.Tensor]:
    return (densities.reals if name in ("net", "real rbm") else densities.binary)(count, 0)


LAYERS = {
    "rbm": ("hidden",),
    "real rbm": ("hidden",),
    "boltzmann": ("units",),
    "net": ("hidden1", "hidden2", "hidden3"),
}


def test_views_of_vectors_are_the_vectors() -> None:
    x = torch.randn(4, 7)
    (view,) = mild_views((vectors,), [(7,)], word_dropout=0.5)
    generator = Generator().manual_seed(0)
    before = generator.get_state()
    assert torch.equal(view(x, generator), x)
    assert torch.equal(generator.get_state(), before)
    assert (vectors.PARTS, vectors.AXES) == (("vectors",), 1)


def test_vectors_of_another_type_have_no_meaning() -> None:
    with pytest.raises(TypeError, match=r"torch\.float64 have no meaning"):
        vectors.MildViews()(torch.zeros(2, 3, dtype=torch.float64), Generator())


@pytest.mark.parametrize("name", LAYERS)
def test_features_are_the_layers_and_the_last_is_the_representation(name: str) -> None:
    model, x = encoder(name), stored(name)["vectors"]
    batches = list(extract_features(model, {"vectors": x}, CPU, batch_size=128))
    found = {layer: torch.cat([batch[layer] for batch in batches]).float() for layer in batches[0]}
    assert tuple(found) == (*LAYERS[name], POOLED) == feature_layers(model, {"vectors": x})
    with torch.no_grad():
        layers = model.layers(x)
    for layer in LAYERS[name]:
        torch.testing.assert_close(found[layer], layers[layer], rtol=2e-3, atol=2e-3)
    assert torch.equal(found[POOLED], found[LAYERS[name][-1]])
    assert found[POOLED].shape == (300, model.dim)


@pytest.mark.parametrize("name", LAYERS)
def test_the_monitor_measures_them_without_changing_them(name: str) -> None:
    model, data = encoder(name), stored(name)
    before = {part: values.clone() for part, values in model.state_dict().items()}
    monitor = Monitor({"vectors": data["vectors"].numpy()}, data["label"].numpy(), seed=0)
    measured = monitor.measure(model, CPU, "float32", 64)
    assert set(measured) == {RANKME, DEVIATION, PROBE}
    assert 1 <= measured[RANKME] <= monitor.rank(model) == model.dim
    assert measured[PROBE] > (0.6 if name in ("rbm", "boltzmann") else 0.9)
    assert all(torch.equal(values, before[part]) for part, values in model.state_dict().items())
    assert monitor.due(model, 4, 4, 1e9)
    assert not monitor.due(model, 4, 4, 10)


def test_operations_of_an_rbm_are_those_of_its_weights_and_biases() -> None:
    """2 D H of the product; at least two for each number that is learnt, so of biases, too."""
    model = encoder("rbm")
    assert operations(model, [np.zeros((1, 9), np.float32)]) == 2 * (9 * 5 + 9 + 5)


def test_measuring_does_not_depend_on_how_many_rows_are_read_at_once() -> None:
    model, data = encoder("rbm"), stored("rbm")
    monitor = Monitor({"vectors": data["vectors"].numpy()}, None, seed=0)
    few, many = (monitor.measure(model, CPU, "float32", rows) for rows in (7, 256))
    assert few == pytest.approx(many, rel=1e-5)


@pytest.mark.parametrize("kind", densities.KINDS)
@pytest.mark.parametrize("protocol", ["knn", "linear"])
def test_hidden_units_tell_the_label_more_often_than_chance(protocol: str, kind: str) -> None:
    """The label is the first unit, of two about as likely; or one of four Gaussians."""
    name = "rbm" if kind == "binary" else "net"
    given = densities.representation(kind, encoder(name), train=300, test=200)
    evaluate = import_module(f"ssl_models.protocols.{protocol}").evaluate
    found = evaluate(given, seed=0, **({"neighbours": 20} if protocol == "knn" else {}))
    best = max(score.value for score in found.scores if score.metric == "top1")
    assert best > (0.75 if kind == "binary" else 0.95)
