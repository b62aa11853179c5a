"""Several pretext tasks on one encoder: one is drawn for a step, and each has its own head, views and terms."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.method import Method, Scored
from ssl_models.methods.multi_pretext import TASKS, MultiPretext
from ssl_models.optimizers import build_optimizer
from ssl_models.trainer import Settings, Silent, Training

torch.set_num_threads(1)

PAIR = ["rotation", "jigsaw"]
INDEX = torch.arange(4)


def method(tasks: list[str] | None = None, channels: int = 3, side: int = 32) -> MultiPretext:
    torch.manual_seed(0)
    encoder = ResNet(depth=10, width=4, channels=channels)
    return MultiPretext(encoder, DataSpec(20, {"images": (channels, side, side)}), tasks=tasks or PAIR)


def images(channels: int = 3) -> Tensor:
    return torch.randint(0, 256, (4, channels, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def drawn(multi: MultiPretext, name: str) -> tuple[tuple[Tensor, ...], int]:
    """Views of the named task, and the seed that draws it."""
    for seed in range(100):
        views = multi.views(images(), torch.Generator().manual_seed(seed))
        if multi.names[int(views[0])] == name:
            return views, seed
    raise AssertionError(f"{name} was never drawn")


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([term for term in terms.values() if term.requires_grad]).sum()


def test_the_first_view_is_the_number_of_the_task_and_the_rest_are_its_views() -> None:
    multi = method()
    for number, name in enumerate(PAIR):
        views, seed = drawn(multi, name)
        assert views[0].dtype == torch.int64
        assert views[0].tolist() == [number]
        generator = torch.Generator().manual_seed(seed)
        torch.randint(2, (1,), generator=generator)  # the draw of the task comes first
        alone = TASKS[name].METHOD(multi.encoder, DataSpec(20, {"images": (3, 32, 32)})).views(images(), generator)
        assert len(views) == len(alone) + 1
        assert all(torch.equal(one, other) for one, other in zip(views[1:], alone, strict=True))


def test_tasks_are_drawn_about_equally_often() -> None:
    multi = method()
    numbers = [int(multi.views(images()[:1], torch.Generator().manual_seed(seed))[0]) for seed in range(200)]
    assert 70 < sum(numbers) < 130  # four deviations of a fair coin


@pytest.mark.parametrize("name", PAIR)
def test_the_loss_is_the_drawn_tasks_own_under_its_name_and_beside_its_chance(name: str) -> None:
    multi = method().eval()
    views, _ = drawn(multi, name)
    task: Any = multi.tasks[name]
    terms, alone = multi.loss(*views, index=INDEX).terms, Scored.of(task.loss(*views[1:], index=INDEX)).terms
    assert set(terms) == {f"{name}_loss", f"{name}_accuracy", f"{name}_chance"}
    assert torch.equal(total(terms), total(alone))
    assert torch.equal(terms[f"{name}_accuracy"], alone["accuracy"])
    assert float(terms[f"{name}_chance"]) == pytest.approx(task.chance)
    assert [key for key, term in terms.items() if term.requires_grad] == [f"{name}_loss"]


class TwoTerms(Method):
    """A task whose loss has two terms and no chance, and which counts what it is told."""

    def __init__(self, encoder: Any, data: DataSpec) -> None:  # noqa: ARG002
        super().__init__(encoder)
        self.head = torch.nn.Linear(encoder.dim, 1)
        self.told: list[tuple[str | None, float]] = []

    def views(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(images.shape, generator=generator),)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:  # noqa: ARG002
        value = self.head(self.encoder(views[0])).square().mean()
        return Scored({"near": value, "far": 2 * value, "share": value.detach()}, handed_over="keys")

    def after_step(self, handed_over: str | None, progress: float) -> None:
        self.told.append((handed_over, progress))


@pytest.fixture
def two_terms(monkeypatch: pytest.MonkeyPatch) -> MultiPretext:
    module: Any = type("module", (), {"METHOD": TwoTerms})
    monkeypatch.setitem(TASKS, "two_terms", module)
    return method(["rotation", "two_terms"])


def test_a_task_of_several_terms_is_given_their_sum_which_is_not_minimised_a_second_time(
    two_terms: MultiPretext,
) -> None:
    views, _ = drawn(two_terms, "two_terms")
    terms = two_terms.loss(*views, index=INDEX).terms
    assert set(terms) == {f"two_terms_{term}" for term in ("near", "far", "share", "loss")}
    assert float(terms["two_terms_loss"]) == pytest.approx(3 * float(terms["two_terms_near"].detach()))
    assert not terms["two_terms_loss"].requires_grad
    assert float(total(terms).detach()) == pytest.approx(float(terms["two_terms_loss"]))


def test_every_task_is_told_of_the_progress_and_the_drawn_one_is_given_what_it_handed_over(
    two_terms: MultiPretext,
) -> None:
    for step, name in enumerate(["rotation", "two_terms", "rotation"]):
        two_terms.after_step(two_terms.loss(*drawn(two_terms, name)[0], index=INDEX).handed_over, step / 2)
    told: Any = two_terms.tasks["two_terms"]
    assert told.told == [(None, 0), ("keys", 0.5), (None, 1)]


def test_a_step_trains_the_encoder_and_the_drawn_head_and_leaves_the_other_heads_as_they_are() -> None:
    for trained, idle in (PAIR, reversed(PAIR)):
        multi = method()
        total(multi.loss(*drawn(multi, trained)[0], index=INDEX).terms).backward()
        heads: Any = multi.tasks
        assert all(parameter.grad is not None for parameter in multi.encoder.parameters())
        assert all(parameter.grad is not None for parameter in heads[trained].head.parameters())
        assert all(parameter.grad is None for parameter in heads[idle].head.parameters())


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_that_may_be_combined_shares_the_encoder(name: str) -> None:
    multi = method([name, next(other for other in PAIR if other != name)])
    assert multi.tasks[name].encoder is multi.encoder
    views, _ = drawn(multi, name)
    terms = multi.loss(*views, index=INDEX).terms
    assert all(key.startswith(f"{name}_") for key in terms)
    total(terms).backward()
    assert all(parameter.grad is not None for parameter in multi.encoder.parameters())


def test_the_optimiser_holds_each_parameter_once_and_after_a_move_the_encoder_is_still_one() -> None:
    multi = method().to(torch.float64).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(multi, "sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.1)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert len(held) == len(set(held))
    heads: Any = multi.tasks
    parts = (multi.encoder, heads["rotation"].head, heads["jigsaw"].head)
    assert set(held) == {id(parameter) for part in parts for parameter in part.parameters()}


def test_a_state_dict_goes_round_into_one_encoder() -> None:
    first, second = method(), method()
    for parameter in first.parameters():
        parameter.data.mul_(1.1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    encoders = [second.encoder, *(task.encoder for task in second.tasks.values())]
    assert len({id(encoder) for encoder in encoders}) == 1


class Keeper(Silent):
    """Keeps the last checkpoint and the means of the epochs."""

    def __init__(self, content: dict[str, Any] | None = None) -> None:
        self.content = content
        self.epochs: list[dict[str, float]] = []

    def load(self) -> dict[str, Any] | None:
        return self.content

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        file = io.BytesIO()
        torch.save(checkpoint, file)
        file.seek(0)
        self.content = torch.load(file, weights_only=True)

    def epoch(self, step: int, values: dict[str, float]) -> None:  # noqa: ARG002
        self.epochs.append({name: value for name, value in values.items() if name != "samples_per_second"})


def training(observer: Keeper) -> Training:
    pictures = images().repeat(5, 1, 1, 1)
    settings = Settings(epochs=2, batch_size=4, warmup_epochs=0.5)
    return Training(method(), pictures, settings, seed=3, checkpoint_steps=1, observer=observer)


def test_a_training_that_was_stopped_and_resumed_ends_in_the_same_bytes() -> None:
    whole, first = Keeper(), Keeper()
    reference = training(whole)
    reference.run()
    training(first).run(stop_after=4)
    second = Keeper(first.content)
    resumed = training(second)
    resumed.run()
    expected, found = reference.method.state_dict(), resumed.method.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert first.epochs + second.epochs == whole.epochs
    assert {"rotation_loss", "jigsaw_loss"} <= set().union(*whole.epochs)


def test_tasks_that_cannot_be_combined_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tasks has 'simclr', which is none of .*jigsaw.*rotation"):
        method(["rotation", "simclr"])
    with pytest.raises(ValueError, match=r"tasks is \['rotation'\]; name at least two"):
        method(["rotation"])
    with pytest.raises(ValueError, match="tasks has 'jigsaw' twice"):
        method(["jigsaw", "rotation", "jigsaw"])


def test_a_task_s_own_refusal_names_it() -> None:
    with pytest.raises(ValueError, match="jigsaw cuts nine tiles and needs pictures of at least 24 px"):
        method(side=16)


def test_there_is_no_common_chance() -> None:
    assert method().chance is None
