"""The trainer against a bare training step, and what each method's views cost in it."""

from __future__ import annotations

import itertools
import pkgutil
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Generator, Tensor

from benchmarks.measuring import Effort, compare, pictures, rate_of, resident, seconds_of, spread, synchronise, threads
from benchmarks.page import Page
from benchmarks.rows import MethodRow, Row, Target
from ssl_models import methods
from ssl_models.data import DataSpec
from ssl_models.datasets._common.split import Split
from ssl_models.encoders import build_encoder
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.losses.contrastive import nt_xent
from ssl_models.method import Method, method_class
from ssl_models.methods.simclr import METHOD, SimCLR
from ssl_models.optimizers import build_optimizer
from ssl_models.trainer import Settings, Training

SAMPLES = 2048
HOW = (
    "SimCLR with the default encoder (ResNet-18 of width 16), 32 px, one thread. The other runs the same encoder, "
    "head, loss and optimiser on views made beforehand, without a trainer: the rest is the trainer and its views."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds the row of the trainer, then a line for each method that trains."""
    data, settings = pictures(SAMPLES), Settings(epochs=10_000, batch_size=64 if effort.quick else 256)
    with threads(1):
        add_ratio(effort, page, data, settings)
        add_methods(effort, page, data, settings)


def add_ratio(effort: Effort, page: Page, data: Split, settings: Settings) -> None:
    """SimCLR in the trainer against its bare step."""
    training = start(data, "simclr", settings)
    own = rate_of(lambda steps: go_on(training, steps), settings.batch_size, effort.seconds)
    bare = rate_of(bare_steps(data, settings), settings.batch_size, effort.seconds)
    mine, others, ratio = compare(own, bare, effort.pairs)
    how = f"batches of {settings.batch_size}, {training.precision}, {training.device.type}: {HOW}"
    page.add(
        Row("training SimCLR", "images/s", mine, how, Target("≥", 0.8, ratio=True), "bare step", others, ratio),
    )


def add_methods(effort: Effort, page: Page, data: Split, settings: Settings) -> None:
    """Every method's rate, taken in turns, the share of the time that it spends on views, and what it piles up."""
    running = {name: Clocked(start(data, name, settings), effort.seconds) for name in trained_methods()}
    taken = [{name: clocked.measure() for name, clocked in running.items()} for _ in range(effort.pairs)]
    rows = []
    for name in running:
        rates, shares, levels = zip(*(turn[name] for turn in taken), strict=True)
        rows.append(MethodRow(name, spread(rates), spread(shares), piled_up(levels)))
        page.add_method(rows[-1])
    dearest, fattest = max(rows, key=lambda row: row.share.median), max(rows, key=lambda row: row.growth)
    page.add(
        Row(
            "views of the method with the dearest ones",
            "of its time",
            dearest.share,
            f"{dearest.name}, among the {len(rows)} methods below; one thread.",
            Target("≤", 0.25, ratio=False),
        )
    )
    growth = spread([fattest.growth])
    page.add(
        Row(
            "memory that a training piles up",
            "MiB",
            growth,
            f"after {fattest.name}, the most of {len(rows)} methods in turns: how much higher the process "
            "is than one turn before, in the median, times the turns.",
            Target("<", 32, ratio=False),
        )
    )


def piled_up(levels: Sequence[float]) -> float:
    """What a process grows by in all turns but the first, if it grows as in the median turn, from its level after each.

    What is piled up, by whichever method, raises the level in every turn. What the allocator takes in one method's turn
    and gives back in another's does not, so that a turn's own growth would tell nothing.
    """
    growths = [after - before for before, after in itertools.pairwise(levels[1:])]
    return (len(levels) - 1) * median(growths) if growths else 0.0


def trained_methods() -> list[str]:
    """Every file of ssl_models/methods whose method trains on pictures, or on whatever there is."""
    names = sorted(module.name for module in pkgutil.iter_modules(methods.__path__))
    return [name for name in names if method_class(name).trains and method_class(name).parts in ((), ("images",))]


def start(data: Split, name: str, settings: Settings) -> Training:
    """A training of a fresh encoder by a method with its default hyper-parameters."""
    device = pick_device()
    method = build(method_class(name), data)
    return Training(method, data.images.to(device), settings, seed=0, device=device, precision="auto")


def build(kind: Callable[..., Method], data: Split) -> Method:
    torch.manual_seed(0)
    classes = None if data.labels is None else int(data.labels.max()) + 1
    teacher = torch.randn(len(data), 16)
    shape = DataSpec(len(data), {"images": tuple(data.images.shape[1:])}, data.labels, classes, teacher)
    return kind(build_encoder("resnet"), shape)


def go_on(training: Training, steps: int) -> None:
    training.run(stop_after=training.step + steps)


class Clocked:
    """A training whose views are timed."""

    def __init__(self, training: Training, seconds: float) -> None:
        self.training, self.views, self.spent = training, training.method.views, 0.0
        training.method.views = self.timed_views  # type: ignore[method-assign]
        go_on(training, 1)
        self.steps = max(1, round(seconds / seconds_of(lambda: go_on(training, 1))))

    def timed_views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        synchronise()
        started = time.perf_counter()
        views = self.views(images, generator)
        synchronise()
        self.spent += time.perf_counter() - started
        return views

    def measure(self) -> tuple[float, float, float]:
        """Images a second, the views' share of the time, and MiB that the process holds afterwards."""
        self.spent = 0.0
        elapsed = seconds_of(lambda: go_on(self.training, self.steps))
        images = self.steps * self.training.settings.batch_size
        return images / elapsed, self.spent / elapsed, resident() / 2**20


def bare_steps(data: Split, settings: Settings) -> Callable[[int], None]:
    """Forward, backward and update on ready-made views, and nothing else."""
    device = pick_device()
    precision = resolve_precision("auto", device)
    method = build(METHOD, data).to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    assert isinstance(method, SimCLR)
    generator = torch.Generator(device).manual_seed(0)
    batches = data.images.to(device).split(settings.batch_size)
    ready = itertools.cycle([torch.cat(method.views(batch, generator)) for batch in batches])
    optimizer = build_optimizer(
        method,
        settings.optimizer,
        learning_rate=settings.learning_rate / 100,  # of the warm-up, which the trainer is in as well
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )

    def run(steps: int) -> None:
        for _ in range(steps):
            with autocast(precision, device):
                first, second = method.head(method.encoder(next(ready))).chunk(2)
                loss = nt_xent(first, second, method.temperature)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run
