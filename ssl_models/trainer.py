"""The one training loop: any method, on data of any size. It can be stopped and resumed at any step.

A resumed training ends with the same bytes. No state of a random generator outlives a step: the order of an epoch is
drawn from (seed, epoch), and the views of a step from (seed, step). A checkpoint holds the method, the optimiser, the
step and the running sums of the epoch. Several processes train like one, with the same batches and views, see
ssl_models/parallel.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ssl_models import chunks, compiling
from ssl_models.feeding import Source, batches, held
from ssl_models.first_pass import show_all
from ssl_models.hardware import autocast, place, resolve_channels_last, resolve_precision
from ssl_models.method import Method, scored_by
from ssl_models.monitor import Monitor
from ssl_models.observer import Observer, Silent
from ssl_models.optimizers import build_optimizer, learning_rate_at
from ssl_models.parallel import processes
from ssl_models.parallel.encoder_shards import sharing
from ssl_models.parallel.view_shares import make_views, rows_read
from ssl_models.training_settings import Settings

__all__ = ["Settings", "Training", "TrainingDivergedError", "derive_seed"]


class TrainingDivergedError(RuntimeError):
    """The loss is infinite or not a number."""


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and words: unrelated for different parts, and the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Training:
    """One method's training over samples, of which as much is in memory as feeding.py holds.

    samples: (N, ...) for each of the parts that the method reads, in its order; or the only one.

    Several processes are all given the same arguments, and only the first calls its observer. Raises ValueError if a
    batch is larger than the data or cannot be shared equally, TrainingDivergedError on a loss that is infinite or not a
    number.

    checkpoint_steps: number of steps between two checkpoints (default: an epoch); there is one at the end too.
    chunk: rows that an encoder takes at once, see chunks.py; 0: all. channels_last: True, False, or "auto", see
    `hardware.resolve_channels_last`. compiled: True, False or "auto", see compiling.py. monitor: what measures the
    representation in the first process after an epoch; the others then wait.
    """

    def __init__(
        self,
        method: Method,
        samples: Source | Sequence[Source],
        settings: Settings,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        chunk: int = 0,
        channels_last: bool | str = "auto",
        compiled: bool | str = False,
        checkpoint_steps: int | None = None,
        observer: Observer | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        parts = samples if isinstance(samples, list | tuple) else (samples,)
        if len(parts) != len(method.parts):
            raise ValueError(f"there are {len(parts)} parts of the samples, and the method reads {method.parts}")
        self.samples = len(parts[0])
        if settings.batch_size > self.samples:
            raise ValueError(f"batch_size {settings.batch_size} is over the {self.samples} training samples there are")
        processes.require_shares(settings.batch_size, processes.world())
        self.device = torch.device(device)
        self.precision = resolve_precision(precision, self.device)
        self.method, self.settings, self.seed = method, settings, seed
        self.chunk, self.compiled = chunk, compiling.resolve(compiled, self.device)
        self.channels_last = resolve_channels_last(channels_last, method.encoder)
        place(method, self.device, channels_last=self.channels_last)
        self.parts = held(parts, self.device)
        self.steps_per_epoch = self.samples // settings.batch_size
        self.steps = self.steps_per_epoch * settings.epochs
        self.checkpoint_steps = checkpoint_steps or self.steps_per_epoch
        self.observer: Observer = Silent() if observer is None or processes.rank() else observer
        self.monitor = monitor if settings.monitor and not processes.rank() else None
        self.optimizer = build_optimizer(
            self.method,
            settings.optimizer,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.step = 0
        self.sums: dict[str, Tensor] = {}
        self.views_seen = self.numbers_seen = 0
        self._start_clock()

    def run(self, stop_after: int | None = None) -> None:
        """Trains from the last checkpoint, or from the start, to the end, or to step `stop_after`."""
        told = f"{self.settings}, seed {self.seed}, precision {self.precision}"
        processes.require_same(lambda: f"{told}, {processes.describe(self.method, self.parts, self.device)}")
        if (checkpoint := processes.from_first(self.observer.load(), self.device)) is not None:
            self._resume(checkpoint)
        processes.agree(self.method)
        self.method.train()
        self._start_clock()
        with (
            compiling.compiled(self.method, self.compiled),
            sharing(self.method),
            chunks.chunked(self.method, self.chunk),
        ):
            self._run(stop_after)

    def _run(self, stop_after: int | None) -> None:
        if self.method.meets and self.step == 0:
            seed = partial(derive_seed, self.seed, "first pass")
            show_all(self.method, self.parts, self.settings.batch_size, seed, self.device, self.precision)
            self._start_clock()
        with closing(batches(self.parts, self._indices(), self.device, read=partial(rows_read, self.method))) as ahead:
            for index, batch in ahead:
                chance = self._train_step(index, batch)
                if self.step % self.steps_per_epoch == 0:
                    self._end_epoch(chance)
                if self.step % self.checkpoint_steps == 0 or self.step == self.steps:
                    processes.agree(self.method)
                    self.observer.save(self.step, self.checkpoint())
                if self.step == stop_after:
                    return

    def _indices(self) -> Iterator[Tensor]:
        """The samples (B,) of each step, from the next one to the last; they are taken before the step."""
        first = self.step
        for step in range(first, self.steps):
            if step % self.steps_per_epoch == 0 or step == first:
                order = self._order(step // self.steps_per_epoch)
            position = step % self.steps_per_epoch * self.settings.batch_size
            yield order[position : position + self.settings.batch_size]

    def checkpoint(self) -> dict[str, Any]:
        """What a resumed run needs: only tensors and numbers, so that torch loads it with weights_only."""
        return {
            "step": self.step,
            "views_seen": self.views_seen,
            "numbers_seen": self.numbers_seen,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sums": self.sums,
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Restores a checkpoint that `checkpoint` made."""
        if not 0 <= checkpoint["step"] <= self.steps:
            raise ValueError(f"its step is {checkpoint['step']}, and this training has {self.steps}")
        self.method.load_state_dict(checkpoint["method"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.step, self.views_seen = checkpoint["step"], checkpoint["views_seen"]
        self.numbers_seen = checkpoint["numbers_seen"]
        self.sums = {name: value.to(self.device) for name, value in checkpoint["sums"].items()}

    def _resume(self, checkpoint: dict[str, Any]) -> None:
        """Restores a checkpoint where it fits; else all stays as it was, and the observer is told."""
        fresh = deepcopy(self.checkpoint())
        try:
            self.restore(checkpoint)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            self.restore(fresh)
            self.observer.discard(" ".join(str(error).split()) or type(error).__name__)

    def _order(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        return torch.randperm(self.samples, generator=generator)

    def _train_step(self, index: Tensor, batch: Sequence[Tensor]) -> float | None:
        """Trains on a batch, the samples `index` (B,). Returns the chance level of its loss, if there is one."""
        rate = self._set_rate()
        views = make_views(self.method, batch, seed=derive_seed(self.seed, "step", self.step), device=self.device)
        torch.manual_seed(derive_seed(self.seed, "loss", self.step))
        with autocast(self.precision, self.device):
            scored = scored_by(self.method, *views, index=index.to(self.device))
        terms = scored.terms
        loss = torch.stack([term.float() for term in terms.values() if term.requires_grad]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self.method.parameters() if parameter.grad is not None]
        processes.average(gradients)
        gradient_norm = torch.stack(torch._foreach_norm(gradients)).norm()
        self.optimizer.step()
        self.step += 1
        self.method.after_step(scored.handed_over, self.step / self.steps)
        pictured = [view for view in views if view.is_floating_point()]
        self.views_seen += sum(map(len, pictured))
        self.numbers_seen += sum(math.prod(view.shape) for view in pictured or views)
        self._account({"loss": loss, **terms, "gradient_norm": gradient_norm}, rate)
        return self.method.chance if scored.chance is None else scored.chance

    def _set_rate(self) -> float:
        """Gives this step's learning rate to the optimiser, and returns it."""
        rate = learning_rate_at(
            self.step,
            steps=self.steps,
            warmup=round(self.settings.warmup_epochs * self.steps_per_epoch),
            peak=self.settings.learning_rate * self.settings.batch_size / 256,
            schedule=self.settings.schedule,
            milestones=self.settings.milestones,
            decay=self.settings.decay,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _account(self, values: dict[str, Tensor], rate: float) -> None:
        for name, value in values.items():
            counted = torch.stack([value.detach().float(), torch.ones((), device=value.device)])
            self.sums[name] = self.sums[name] + counted if name in self.sums else counted
        if self.device.type == "cpu" or self.step % 50 == 0 or self.step % self.steps_per_epoch == 0:
            agreed = values["loss"].detach().clone()
            processes.average([agreed])  # so that all processes stop, or none
            loss = float(agreed)
            if not math.isfinite(loss):
                raise TrainingDivergedError(
                    f"the loss is {loss} at step {self.step} of {self.steps} (epoch "
                    f"{1 + (self.step - 1) // self.steps_per_epoch}, learning rate {rate:.4g}); "
                    "lower learning_rate, lengthen warmup_epochs, or try precision: float32"
                )
            self.observer.progress(self.step, self.steps, loss, self._samples_per_second())

    def _end_epoch(self, chance: float | None) -> None:
        means = {name: float(total / count) for name, (total, count) in self.sums.items()}
        means["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        means["samples_per_second"] = self._samples_per_second()
        if chance is not None:
            means["chance"] = chance
        means |= self._measured()
        self.observer.epoch(self.step, means)
        self.sums = {}
        self._start_clock()

    def _measured(self) -> dict[str, float]:
        """What the monitor finds where it is due, and the seconds that it takes; the clock of the rate stands still."""
        epoch, started = self.step // self.steps_per_epoch, time.perf_counter()
        trained_on = self.numbers_seen / epoch
        if self.monitor is None or not self.monitor.due(self.method.encoder, epoch, self.settings.epochs, trained_on):
            return {}
        rows = self.chunk or self.settings.batch_size // processes.world()
        found = self.monitor.measure(self.method.encoder, self.device, self.precision, rows)
        return found | {"monitor_seconds": time.perf_counter() - started}

    def _start_clock(self) -> None:
        self._clock = (self.step, time.perf_counter())

    def _samples_per_second(self) -> float:
        step, started = self._clock
        return (self.step - step) * self.settings.batch_size / (time.perf_counter() - started)
