"""All samples are shown once to a method that asks for it, before its first step and never again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from ssl_models.encoders.resnet import ResNet
from ssl_models.first_pass import show_all
from ssl_models.method import Method
from ssl_models.trainer import Settings, Training, derive_seed
from tests.ssl_models.test_trainer import Keeper

torch.set_num_threads(1)

CPU = torch.device("cpu")


class Meeting(Method):
    """Remembers what it met. Views are a picture times a random number, its first value, and the generator's seed."""

    family = "control"
    reference = ""
    meets = True

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(ResNet(depth=10, width=4))
        self.met: list[dict[str, Any]] = []
        self.steps: list[int] = []

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        drawn = torch.rand(len(images), 1, 1, 1, generator=generator)
        seeds = torch.full((len(images),), generator.initial_seed())
        return drawn * images / 255, images[:, 0, 0, 0].long(), seeds

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        return {"loss": self.encoder(views[0]).square().mean()}

    def meet(self, *views: Tensor, index: Tensor) -> None:
        features = self.encoder(views[0])
        product = features @ features.T
        self.met.append(
            {
                "index": index.tolist(),
                "views": views,
                "gradient": torch.is_grad_enabled() or product.requires_grad,
                "dtype": product.dtype,
                "dropped": nn.functional.dropout(torch.ones(64)),
            }
        )

    def after_step(self, handed_over: Any, progress: float) -> None:  # noqa: ARG002
        self.steps.append(len(self.met))


def numbered(samples: int) -> Tensor:
    """Pictures of one value each, their number."""
    return torch.arange(samples, dtype=torch.uint8)[:, None, None, None].expand(samples, 3, 16, 16).clone()


def noisy(samples: int) -> Tensor:
    return torch.randint(0, 256, (samples, 3, 16, 16), dtype=torch.uint8, generator=Generator().manual_seed(1))


def shown(method: Meeting, images: Any, batch: int, precision: str = "float32", first: int = 100) -> Meeting:
    show_all(method, [images], batch, lambda *parts: first + parts[-1] + 1000 * (len(parts) - 1), CPU, precision)
    return method


def training(method: Method, observer: Keeper) -> Training:
    settings = Settings(epochs=2, batch_size=4, warmup_epochs=0)
    return Training(method, noisy(10), settings, seed=5, checkpoint_steps=1, observer=observer)


@pytest.mark.parametrize(
    ("samples", "batch", "expected"),
    [
        (10, 4, [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]),
        (9, 4, [[0, 1, 2, 3], [4, 5, 6, 7], [5, 6, 7, 8]]),
        (8, 4, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (4, 4, [[0, 1, 2, 3]]),
    ],
)
def test_every_sample_is_met_in_whole_batches_and_the_last_overlaps(
    samples: int, batch: int, expected: list[list[int]]
) -> None:
    method = shown(Meeting(), numbered(samples), batch)
    assert [each["index"] for each in method.met] == expected
    assert [each["views"][1].tolist() for each in method.met] == expected, "views are of other samples"


def test_each_batch_has_the_seed_of_its_number() -> None:
    method = shown(Meeting(), numbered(10), 4)
    assert [set(each["views"][2].tolist()) for each in method.met] == [{100}, {101}, {102}]


def test_samples_in_a_file_are_met_too(tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", noisy(10).numpy())
    stored = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    read, held = shown(Meeting(), stored, 4), shown(Meeting(), noisy(10), 4)
    assert [each["index"] for each in read.met] == [each["index"] for each in held.met]
    assert all(torch.equal(one["views"][0], two["views"][0]) for one, two in zip(read.met, held.met, strict=True))


def test_nothing_that_is_met_carries_a_gradient() -> None:
    method = shown(Meeting(), noisy(10), 4)
    assert [each["gradient"] for each in method.met] == [False] * 3
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in method.parameters())


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_network_works_in_the_precision_of_the_training(precision: str, dtype: torch.dtype) -> None:
    assert {each["dtype"] for each in shown(Meeting(), noisy(8), 4, precision).met} == {dtype}


def test_two_passes_are_the_same_and_another_seed_draws_other_views() -> None:
    first, again = (shown(Meeting(), noisy(10), 4).met for _ in range(2))
    other = shown(Meeting(), noisy(10), 4, first=200).met
    for one, two, three in zip(first, again, other, strict=True):
        assert torch.equal(one["views"][0], two["views"][0])
        assert not torch.equal(one["views"][0], three["views"][0])


def test_dropout_is_drawn_by_the_seed_of_the_batch() -> None:
    method = Meeting()
    torch.manual_seed(1)
    first = [each["dropped"] for each in shown(method, noisy(10), 4).met]
    method.met.clear()
    torch.rand(7)  # whatever was drawn before
    again = [each["dropped"] for each in shown(method, noisy(10), 4).met]
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


def test_what_a_loss_draws_is_not_what_the_views_drew() -> None:
    class Drawing(Meeting):
        """Keeps what its views draw of their generator, and what its loss and `meet` draw of the global one."""

        def __init__(self) -> None:
            super().__init__()
            self.drawn: dict[str, list[Tensor]] = {"views": [], "loss": []}

        def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
            self.drawn["views"].append(torch.rand(8, generator=generator))
            return (images / 255,)

        def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
            self.drawn["loss"].append(torch.rand(8))
            return {"loss": self.encoder(views[0]).square().mean()}

        def meet(self, *views: Tensor, index: Tensor) -> None:  # noqa: ARG002
            self.drawn["loss"].append(torch.rand(8))

    method = Drawing()
    training(method, Keeper()).run()
    every = torch.stack(method.drawn["views"] + method.drawn["loss"])
    assert len(every) == 14, "three batches are met, and four steps made"
    assert len(every.unique(dim=0)) == 14


def test_a_training_shows_all_before_its_first_step_by_seeds_of_its_own() -> None:
    method = Meeting()
    training(method, Keeper()).run()
    seeds = [derive_seed(5, "first pass", number) for number in range(3)]
    assert [set(each["views"][2].tolist()) for each in method.met] == [{seed} for seed in seeds]
    assert not set(seeds) & {derive_seed(5, "step", step) for step in range(4)}
    assert method.steps == [3] * 4, "all three batches were met before the first of four steps"


def test_a_method_that_does_not_ask_meets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meeting, "meets", False)
    method = Meeting()
    training(method, Keeper()).run(stop_after=1)
    assert method.met == []
    assert method.steps == [0]


def test_a_resumed_training_does_not_repeat_it() -> None:
    first, resumed = Meeting(), Meeting()
    keeper = Keeper()
    training(first, keeper).run(stop_after=1)
    assert len(first.met) == 3
    training(resumed, Keeper(keeper.content)).run()
    assert resumed.met == []
    assert resumed.steps == [0] * 3


def test_a_checkpoint_that_does_not_fit_leaves_a_training_that_meets_all() -> None:
    keeper = Keeper()
    training(Meeting(), keeper).run(stop_after=1)
    method = Meeting()
    method.register_buffer("unknown", torch.zeros(1))
    training(method, Keeper(keeper.content)).run(stop_after=1)
    assert method.steps == [3]
