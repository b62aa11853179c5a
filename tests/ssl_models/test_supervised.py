"""Supervision: cross entropy of the right labels, and clear refusals."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsLabels
from ssl_models.methods.supervised import Supervised, noisy_labels

torch.set_num_threads(1)

LABELS = torch.tensor([2, 0, 1, 1, 2, 0])


def method(labels: Tensor | None = LABELS, classes: int | None = 3, **settings: Any) -> Supervised:
    torch.manual_seed(0)
    return Supervised(ResNet(depth=10, width=4), DataSpec(6, {"images": (3, 16, 16)}, labels, classes), **settings)


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


def test_the_classifier_gives_the_logits_that_are_trained() -> None:
    supervised = method().eval()
    view, index = torch.rand(2, 3, 16, 16), torch.tensor([0, 1])
    logits = supervised.classifier()(supervised.encoder(view))
    assert logits.shape == (2, 3)
    loss = supervised.loss(view, index=index)["loss"]
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, LABELS[index]))


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


def many(samples: int = 1000, classes: int = 5) -> Tensor:
    return torch.randint(classes, (samples,), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.25, 0.3337, 0.75, 1.0])
def test_exactly_the_share_asked_for_is_given_a_wrong_label(share: float) -> None:
    noisy = noisy_labels(many(), 5, share, seed=0)
    assert int((noisy != many()).sum()) == round(share * 1000)
    assert 0 <= noisy.min() <= noisy.max() < 5
    assert noisy.dtype == torch.int64


def test_a_wrong_label_is_drawn_uniformly_from_the_other_classes() -> None:
    labels = torch.full((6000,), 2)
    counts = torch.bincount(noisy_labels(labels, 4, 1.0, seed=0), minlength=4)
    assert counts[2] == 0
    assert all(abs(int(count) - 2000) < 150 for count in counts[[0, 1, 3]])  # four deviations of 37


def test_more_noise_changes_what_less_does_to_the_same_classes() -> None:
    shares = (0.1, 0.25, 0.5, 0.75)
    steps = [noisy_labels(many(), 5, share, seed=3) for share in shares]
    for less, more in pairwise(steps):
        changed = less != many()
        assert torch.equal(less[changed], more[changed])


def test_noise_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    one, same, other = (noisy_labels(many(), 5, 0.5, seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one != many(), other != many())


def test_noise_leaves_the_data_and_the_global_generator_as_they_are() -> None:
    labels, before = many(), torch.random.get_rng_state()
    noisy_labels(labels, 5, 0.5, seed=0)
    assert torch.equal(labels, many())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_loss_is_that_of_the_noisy_labels() -> None:
    clean, noisy = method(), method(label_noise=0.5, label_noise_seed=7)
    assert torch.equal(clean.labels, LABELS)
    assert torch.equal(noisy.labels, noisy_labels(LABELS, 3, 0.5, 7))
    assert int((noisy.labels != LABELS).sum()) == 3
    assert torch.equal(clean.head.weight, noisy.head.weight)
    view, index = torch.rand(6, 3, 16, 16), torch.arange(6)
    logits = noisy.eval().head(noisy.encoder(view))
    expected = torch.nn.functional.cross_entropy(logits, noisy.labels)
    torch.testing.assert_close(noisy.loss(view, index=index)["loss"], expected)


def test_noise_of_a_single_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label_noise is 0.5; it takes at least 2 classes"):
        method(labels=torch.zeros(6, dtype=torch.int64), classes=1, label_noise=0.5)


@pytest.mark.parametrize(
    ("name", "value"), [("label_smoothing", 1.2), ("smallest_crop", 0.0), ("flip", -0.1), ("label_noise", 1.01)]
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        method(**{name: value})
