"""Schedules of the learning rate: by hand, as trainings follow them, and resumed in their middle."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Generator

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.rotation import Rotation
from ssl_models.observer import Silent
from ssl_models.optimizers import SCHEDULES, learning_rate_at
from ssl_models.trainer import Settings, Training

torch.set_num_threads(1)

SAMPLES, BATCH, EPOCHS = 16, 4, 5
STEPS = 20


class Keeper(Silent):
    """Keeps the last checkpoint as bytes, as a file would."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content

    def load(self) -> dict[str, Any] | None:
        return None if self.content is None else torch.load(io.BytesIO(self.content), weights_only=True)

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        self.content = buffer.getvalue()


def followed(observer: Silent | None = None, **settings: Any) -> tuple[Training, list[set[float]]]:
    """A training of 5 epochs of 4 steps, and the rates of all groups of weights, which it fills."""
    torch.manual_seed(0)
    method = Rotation(ResNet(depth=10, width=4), DataSpec(SAMPLES, {"images": (3, 16, 16)}))
    pictures = torch.randint(0, 256, (SAMPLES, 3, 16, 16), dtype=torch.uint8, generator=Generator().manual_seed(1))
    chosen = Settings(epochs=EPOCHS, batch_size=BATCH, learning_rate=0.64, **settings)  # a peak of 0.01
    training = Training(method, pictures, chosen, seed=0, checkpoint_steps=1, observer=observer)
    rates: list[set[float]] = []
    training.optimizer.register_step_pre_hook(
        lambda optimizer, *_: rates.append({group["lr"] for group in optimizer.param_groups})
    )
    return training, rates


def rates_of(**settings: Any) -> list[float]:
    training, rates = followed(**settings)
    training.run()
    assert all(len(groups) == 1 for groups in rates)
    return [rate for groups in rates for rate in groups]


# ---- by hand


def test_steps_fall_at_their_milestones_after_the_warm_up() -> None:
    how: dict[str, Any] = {"schedule": "steps", "milestones": [0.3, 0.6], "decay": 0.1}
    rates = [learning_rate_at(step, steps=100, warmup=10, peak=2.0, **how) for step in range(100)]
    warm = [0.2 * (step + 1) for step in range(10)]
    assert rates == pytest.approx([*warm, *[2.0] * 20, *[0.2] * 30, *[0.02] * 40])


def test_a_constant_rate_is_the_peak_from_the_warm_up_on() -> None:
    rates = [learning_rate_at(step, steps=8, warmup=2, peak=2.0, schedule="constant") for step in range(8)]
    assert rates == [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("steps", [10, 30, 105, 20_000])
def test_a_milestone_is_a_whole_step_however_its_share_is_rounded(steps: int) -> None:
    """0.7 * 10 is a little over 7 in floating point."""
    for tenth in range(1, 10):
        first = round(tenth * steps / 10)
        how: dict[str, Any] = {"schedule": "steps", "milestones": [tenth / 10], "decay": 0.5}
        around = [learning_rate_at(step, steps=steps, warmup=0, peak=1.0, **how) for step in (first - 1, first)]
        assert around == [1.0, 0.5]


def test_milestones_in_the_warm_up_take_effect_at_its_end() -> None:
    how: dict[str, Any] = {"schedule": "steps", "milestones": [0.1, 0.2, 0.8], "decay": 0.5}
    rates = [learning_rate_at(step, steps=10, warmup=4, peak=4.0, **how) for step in range(10)]
    assert rates == [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


def test_steps_that_multiply_by_one_are_a_constant_rate() -> None:
    for step in range(12):
        found = learning_rate_at(step, steps=12, warmup=3, peak=0.3, schedule="steps", milestones=[0.5], decay=1.0)
        assert found == learning_rate_at(step, steps=12, warmup=3, peak=0.3, schedule="constant")


def test_milestones_and_decay_do_not_change_the_other_schedules() -> None:
    for schedule in ("cosine", "constant"):
        plain = [learning_rate_at(step, steps=9, warmup=1, peak=1.0, schedule=schedule) for step in range(9)]
        how: dict[str, Any] = {"schedule": schedule, "milestones": [0.5], "decay": 0.5}
        assert plain == [learning_rate_at(step, steps=9, warmup=1, peak=1.0, **how) for step in range(9)]


# ---- in a training


def test_without_a_schedule_a_training_follows_the_cosine_to_the_bit() -> None:
    peak, warmup = 0.64 * 4 / 256, 6
    expected = [peak * (step + 1) / warmup for step in range(warmup)]
    expected += [peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / 14)) for step in range(warmup, STEPS)]
    assert rates_of(warmup_epochs=1.5) == expected


def test_a_training_follows_its_steps() -> None:
    expected = [0.0025, 0.005, 0.0075, *[0.01] * 9, *[0.001] * 4, *[0.0001] * 4]
    assert rates_of(schedule="steps") == pytest.approx(expected)  # those of NPID and MoCo, epochs 3 and 4 of 5
    halves = [*[0.01] * 5, *[0.005] * 15]
    assert rates_of(schedule="steps", milestones=[0.25], decay=0.5, warmup_epochs=0) == pytest.approx(halves)


@pytest.mark.parametrize("stop", [2, 12, 13])
def test_resumed_before_at_and_after_a_milestone_the_rates_and_weights_are_the_same(stop: int) -> None:
    how: dict[str, Any] = {"schedule": "steps", "milestones": [0.6, 0.65]}
    whole, expected = followed(**how)
    whole.run()
    keeper = Keeper()
    first, before = followed(keeper, **how)
    first.run(stop_after=stop)
    second, after = followed(Keeper(keeper.content), **how)
    second.run()
    assert len(before) == stop
    assert before + after == expected
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, second.method.state_dict()[name]), name


# ---- what is refused


@pytest.mark.parametrize("milestones", [[], [0.0], [1.0], [0.5, 1.5], [-0.1, 0.5], [0.8, 0.6], [0.5, 0.5], [math.nan]])
def test_milestones_that_do_not_rise_within_the_training_are_refused(milestones: list[float]) -> None:
    with pytest.raises(ValueError, match=r"milestones is \[.*\]; they must be rising shares .* in \(0, 1\)"):
        Settings(milestones=milestones)


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5, math.nan])
def test_a_decay_that_does_not_lower_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"decay is {decay}; it must lie in \(0, 1\]"):
        Settings(decay=decay)


def test_an_unknown_schedule_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="schedule is 'linear'; choose one of cosine, steps, constant"):
        Settings(schedule="linear")
    assert [Settings(schedule=name).schedule for name in SCHEDULES] == ["cosine", "steps", "constant"]
