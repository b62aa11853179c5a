"""Supervision: cross entropy of the right labels, and clear refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsLabels
from ssl_models.method import DataSpec
from ssl_models.methods.supervised import Supervised

torch.set_num_threads(1)

LABELS = torch.tensor([2, 0, 1, 1, 2, 0])


def method(labels: Tensor | None = LABELS, classes: int | None = 3, **settings: float) -> Supervised:
    torch.manual_seed(0)
    return Supervised(ResNet(depth=10, width=4), DataSpec(6, (3, 16, 16), labels, classes), **settings)


def test_the_loss_is_the_cross_entropy_of_the_labels_that_index_names() -> None:
    supervised = method().eval()
    index = torch.tensor([4, 1, 3])
    (view,) = supervised.views(torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8), torch.Generator())
    probabilities = supervised.head(supervised.encoder(view)).detach().softmax(1)
    terms = supervised.loss(view, index=index)
    expected = -sum(math.log(float(probabilities[row, label])) for row, label in enumerate([2, 0, 1])) / 3
    assert float(terms["loss"].detach()) == pytest.approx(expected, rel=1e-4)
    hits = (probabilities.argmax(1) == torch.tensor([2, 0, 1])).float().mean()
    assert float(terms["accuracy"]) == pytest.approx(float(hits))
    assert not terms["accuracy"].requires_grad


def test_uniform_logits_cost_chance_with_and_without_smoothing() -> None:
    for smoothing in (0.0, 0.3):
        supervised = method(label_smoothing=smoothing)
        torch.nn.init.zeros_(supervised.head.weight)
        torch.nn.init.zeros_(supervised.head.bias)
        loss = supervised.loss(torch.rand(2, 3, 16, 16), index=torch.tensor([0, 1]))["loss"]
        assert float(loss.detach()) == pytest.approx(math.log(3), rel=1e-5)
        assert supervised.chance == pytest.approx(math.log(3))


def test_labels_are_no_part_of_a_checkpoint() -> None:
    assert not [name for name in method().state_dict() if "labels" in name]


def test_the_number_of_classes_is_counted_where_it_is_not_given() -> None:
    assert method(classes=None).head.out_features == 3


def test_data_without_labels_are_refused() -> None:
    with pytest.raises(NeedsLabels, match="needs labels"):
        method(labels=None)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="5 labels for 6 samples"):
        method(labels=LABELS[:5])
    with pytest.raises(ValueError, match=r"0 .. 1 for 2 classes"):
        method(classes=2)
    with pytest.raises(ValueError, match=r"0 .. 2 for 3 classes"):
        method(labels=LABELS - 1)


@pytest.mark.parametrize(("name", "value"), [("label_smoothing", 1.2), ("smallest_crop", 0.0), ("flip", -0.1)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        method(**{name: value})
