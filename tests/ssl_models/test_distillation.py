"""Distillation: the divergence from a teacher's softened answers, zero for a student that gives the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.datasets import world
from ssl_models.encoders import build_encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsLabels
from ssl_models.extraction import POOLED, extract_features
from ssl_models.methods.distillation import Distillation, distillation_loss
from ssl_models.protocols import knn
from ssl_models.protocols._common.score import Representation
from ssl_models.trainer import Settings, Silent, Training

torch.set_num_threads(1)

TARGETS = torch.randn(6, 3, generator=torch.Generator().manual_seed(2)) * 2
LABELS = torch.tensor([2, 0, 1, 1, 2, 0])
INDEX = torch.tensor([4, 1, 3])


def method(targets: Tensor | None = TARGETS, labels: Tensor | None = LABELS, **settings: float) -> Distillation:
    torch.manual_seed(0)
    data = DataSpec(6, {"images": (3, 16, 16)}, labels, 3, targets)
    return Distillation(ResNet(depth=10, width=4), data, **settings)


def view() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def naive(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """The paper's cross entropy of softened probabilities less the teacher's entropy, sample by sample."""
    losses = []
    for row in range(len(teacher)):
        p = [math.exp(float(value) / temperature) for value in teacher[row]]
        q = [math.exp(float(value) / temperature) for value in student[row]]
        p, q = [value / sum(p) for value in p], [value / sum(q) for value in q]
        cross = -sum(one * math.log(other) for one, other in zip(p, q, strict=True))
        entropy = -sum(one * math.log(one) for one in p)
        losses.append(temperature**2 * (cross - entropy))
    return sum(losses) / len(losses)


def test_the_loss_of_two_classes_by_hand() -> None:
    # p = (3/4, 1/4) and q = (1/2, 1/2): KL = 3/4 log(3/2) + 1/4 log(1/2)
    teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert float(distillation_loss(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_the_loss_is_the_cross_entropy_less_the_entropy_times_the_temperature_squared(temperature: float) -> None:
    student = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    found = float(distillation_loss(student, TARGETS, temperature))
    assert found == pytest.approx(naive(student, TARGETS, temperature), rel=1e-3)


def test_the_gradient_is_that_of_the_paper() -> None:
    # equation 2: (q - p) / T for each logit, here times T^2 and averaged over the batch
    student = torch.randn(6, 3, requires_grad=True)
    distillation_loss(student, TARGETS, 3.0).backward()
    expected = 3.0 * ((student.detach() / 3).softmax(1) - (TARGETS / 3).softmax(1)) / 6
    torch.testing.assert_close(student.grad, expected, rtol=1e-4, atol=1e-6)


def test_at_high_temperatures_it_is_half_the_squared_difference_of_centred_logits() -> None:
    # section 2.1: distillation then matches logits; T^2 KL -> |u - v|^2 / (2 K)
    student = torch.randn(6, 3, generator=torch.Generator().manual_seed(3)).double()
    teacher = TARGETS.double()
    gap = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    expected = float(gap.square().sum(1).mean() / (2 * 3))
    assert float(distillation_loss(student, teacher, 1000.0)) == pytest.approx(expected, rel=1e-2)


def test_only_a_student_that_gives_the_teachers_answers_costs_nothing() -> None:
    assert float(distillation_loss(TARGETS + 5, TARGETS, 4.0)) == pytest.approx(0, abs=1e-5)
    assert float(distillation_loss(TARGETS * 1.1, TARGETS, 4.0)) > 1e-3


def test_a_very_sure_teacher_is_a_hard_label() -> None:
    student = torch.randn(6, 3)
    teacher = 100 * functional.one_hot(LABELS, 3).float()
    torch.testing.assert_close(distillation_loss(student, teacher, 1.0), functional.cross_entropy(student, LABELS))


@pytest.mark.parametrize("hard_weight", [0.0, 0.25, 1.0])
def test_the_terms_are_of_the_samples_that_index_names(hard_weight: float) -> None:
    distillation = method(hard_weight=hard_weight, temperature=2.0).eval()
    logits = distillation.head(distillation.encoder(view())).detach()
    terms = distillation.loss(view(), index=INDEX)
    soft = (1 - hard_weight) * naive(logits, TARGETS[INDEX], 2.0)
    assert float(terms["soft"].detach()) == pytest.approx(soft, rel=1e-3, abs=1e-6)
    assert ("hard" in terms) == (hard_weight > 0)
    if hard_weight:
        expected = hard_weight * float(functional.cross_entropy(logits, LABELS[INDEX]))
        assert float(terms["hard"].detach()) == pytest.approx(expected, rel=1e-4)
    agreed = (logits.argmax(1) == TARGETS[INDEX].argmax(1)).float().mean()
    assert float(terms["accuracy"]) == pytest.approx(float(agreed))
    assert not terms["accuracy"].requires_grad


def test_the_classifier_gives_the_logits_that_are_trained() -> None:
    distillation = method().eval()
    logits = distillation.classifier()(distillation.encoder(view()))
    expected = distillation_loss(logits, TARGETS[INDEX], distillation.temperature)
    torch.testing.assert_close(distillation.loss(view(), index=INDEX)["soft"], expected)


@pytest.mark.parametrize("hard_weight", [0.0, 0.4])
def test_chance_is_the_loss_of_equal_logits_over_all_samples(hard_weight: float) -> None:
    distillation = method(hard_weight=hard_weight, temperature=3.0)
    torch.nn.init.zeros_(distillation.head.weight)
    torch.nn.init.zeros_(distillation.head.bias)
    terms = distillation.loss(torch.rand(6, 3, 16, 16), index=torch.arange(6))
    found = sum(float(term.detach()) for name, term in terms.items() if name != "accuracy")
    assert found == pytest.approx(distillation.chance, rel=1e-4)
    p = (TARGETS / 3).softmax(1)
    soft = 9 * (math.log(3) - float(-(p * p.log()).sum(1).mean()))
    assert distillation.chance == pytest.approx((1 - hard_weight) * soft + hard_weight * math.log(3), rel=1e-4)


def test_the_view_is_a_crop_of_the_same_shape_drawn_for_each_sample() -> None:
    same = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8).expand(5, -1, -1, -1)
    (crops,) = method().views(same, torch.Generator().manual_seed(0))
    assert crops.shape == (5, 3, 16, 16)
    assert len({float(crop.sum()) for crop in crops}) == 5
    (whole,) = method(smallest_crop=1.0, flip=0.0).views(same, torch.Generator())
    torch.testing.assert_close(whole, same / 255, rtol=0, atol=1e-5)


def test_the_teacher_is_no_part_of_a_checkpoint_and_moves_with_the_module() -> None:
    distillation = method(hard_weight=0.5)
    assert not [name for name in distillation.state_dict() if "targets" in name or "labels" in name]
    assert {"targets", "labels"} <= set(dict(distillation.named_buffers()))


def test_data_without_a_teacher_are_told_where_a_refit_belongs() -> None:
    with pytest.raises(ValueError, match=r"is a refit, and belongs under clusterfit in params.yaml.*method: distillat"):
        method(targets=None)


@pytest.mark.parametrize("targets", [TARGETS[:5], TARGETS[:, :1], TARGETS[:, 0]])
def test_targets_of_another_shape_are_refused(targets: Tensor) -> None:
    with pytest.raises(ValueError, match=r"one row of at least 2 logits for each of 6 samples"):
        method(targets=targets)


def test_targets_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite logits"):
        method(targets=TARGETS / 0)


def test_hard_labels_are_asked_for_only_where_they_have_a_weight() -> None:
    assert method(labels=None).labels is None
    with pytest.raises(NeedsLabels, match="hard_weight of the method 'distillation' needs labels"):
        method(labels=None, hard_weight=0.1)
    with pytest.raises(ValueError, match="5 labels for 6 samples"):
        method(labels=LABELS[:5], hard_weight=0.1)
    with pytest.raises(ValueError, match=r"0 .. 2 for a teacher of 3 classes"):
        method(labels=LABELS + 1, hard_weight=0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.0), ("temperature", -1.0), ("hard_weight", 1.5), ("smallest_crop", 0.0), ("flip", -0.1)],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        method(**{name: value})


class LastEpoch(Silent):
    def epoch(self, step: int, values: dict[str, float]) -> None:  # noqa: ARG002
        self.values = values


def top1(encoder: Any, data: Any) -> float:
    """Nearest-neighbour accuracy of the pooled features."""
    splits = {"train": data.train, "test": data.test}
    features = {
        name: np.concatenate(
            [
                batch[POOLED].numpy()
                for batch in extract_features(encoder, {"images": split.images}, torch.device("cpu"))
            ]
        )
        for name, split in splits.items()
    }
    representation = Representation(
        (POOLED,), lambda split, _: features[split], lambda split: splits[split].labels.numpy(), len(data.classes)
    )
    scores = knn.evaluate(representation, seed=0, neighbours=20).scores
    return next(score.value for score in scores if score.metric == "top1")


def test_a_student_of_a_smoothed_teacher_beats_its_untrained_self() -> None:
    data = world.load(seed=1, train=1024, test=256, orientation=0.05, mirror=0, deformation=0, object_size=0.5)
    classes = len(data.classes)
    smoothed = 0.8 * functional.one_hot(data.train.labels, classes) + 0.2 / classes
    torch.manual_seed(0)
    encoder = build_encoder("resnet", depth=10, width=8)
    before = top1(encoder, data)
    spec = DataSpec(len(data.train), {"images": (3, 32, 32)}, targets=smoothed.log())
    distillation = Distillation(encoder, spec)
    course = LastEpoch()
    settings = Settings(epochs=6, batch_size=64, optimizer="adamw", learning_rate=0.008)
    Training(distillation, data.train.images, settings, seed=0, precision="auto", observer=course).run()
    assert distillation.chance is not None
    assert course.values["loss"] < 0.9 * distillation.chance
    assert course.values["accuracy"] > 3 / classes
    assert top1(encoder, data) > before + 0.05
