"""What is kept of a training while it runs: checkpoints, a journal, a line of progress, and copies for MLflow."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import torch

from ssl_models.collapse import collapses, described
from tasks.process import kill_points
from tasks.process.files import UnreadableFile, whole_file
from tasks.stage import torchrun
from tasks.stage.context import Context
from tasks.tracking.journal import Journal
from tasks.training.checkpoint import read_checkpoint

ASIDE = ".unreadable"
"""The ending of files that were put aside."""


class Recorder:
    """Keeps a training's checkpoints and journal in the stage's work folder, shows progress, and feeds the tracking.

    The order makes the effect exactly once: the journal first, then the checkpoint, then the tracking store. What a
    kill leaves in the journal after the last checkpoint is cut off on resuming and written anew.
    """

    def __init__(self, context: Context, journal: Journal, steps_per_epoch: int, rank: int = 0) -> None:
        """rank: the largest that the RankMe of a measured representation can be."""
        self.context, self.journal, self.steps_per_epoch, self.rank = context, journal, steps_per_epoch, rank
        self.path = context.work / torchrun.CHECKPOINT
        self.shown = self.started = time.monotonic()
        self.first_step: int | None = None
        self.collapsed = False

    def load(self) -> dict[str, Any] | None:
        try:
            checkpoint = read_checkpoint(self.path) if self.path.exists() else None
            if checkpoint is not None:
                self._require_journal(checkpoint["step"])
        except UnreadableFile as error:
            self._start_anew(str(error))
            return None
        if checkpoint is None:
            self.journal.drop()
            return None
        print(f"resuming at step {checkpoint['step']}")
        self.journal.cut(checkpoint["step"])
        return checkpoint

    def discard(self, reason: str) -> None:
        self._start_anew(f"{self.path} does not fit this training ({reason[:120]})")

    def _require_journal(self, step: int) -> None:
        """Refuses to go on at `step` where the journal lacks an epoch before it: the curve would lack it for good."""
        steps = [entry.step for entry in self.journal.read() if entry.step <= step]
        if steps != list(range(self.steps_per_epoch, step + 1, self.steps_per_epoch)):
            raise UnreadableFile(self.journal.path, f" lacks epochs before step {step}, where the checkpoint is")

    def _start_anew(self, reason: str) -> None:
        """Puts the checkpoint and the journal aside, which are of use only together, and says so."""
        for path in (self.path, self.journal.path):
            if path.exists():
                os.replace(path, path.with_name(f"{path.name}{ASIDE}"))
        print(f"{reason}; put aside as *{ASIDE}, and the training starts from the beginning", flush=True)
        self.journal.drop()

    def epoch(self, step: int, values: dict[str, float]) -> None:
        kill_points.point("before-metric")
        self.journal.append(step, values)
        kill_points.point("after-metric")
        self._tell_of_collapse(values)

    def _tell_of_collapse(self, values: dict[str, float]) -> None:
        """Says once that the representation has collapsed, after the epoch at which this is found."""
        rows = self.journal.rows()
        epochs = collapses(rows, self.rank)
        self.collapsed = bool(epochs)
        if epochs == [len(rows)]:
            start = "\r" if sys.stdout.isatty() else ""
            print(f"{start}epoch {len(rows)}: {described(values, self.rank)}", flush=True)

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        kill_points.point("before-checkpoint")
        with whole_file(self.path) as temporary:
            torch.save(checkpoint, temporary)
        kill_points.point("after-checkpoint")
        self.context.record.sync(self.journal)

    def progress(self, step: int, steps: int, loss: float, samples_per_second: float) -> None:
        now, terminal = time.monotonic(), sys.stdout.isatty()
        if self.first_step is None:
            self.first_step, self.started = step, now
        if now - self.shown < (0.2 if terminal else 5) and step < steps:
            return
        self.shown = now
        left = (now - self.started) / max(1, step - self.first_step) * (steps - step)
        line = (
            f"{100 * step // steps:3d} % · step {step} of {steps} · loss {loss:.4f} · "
            f"{samples_per_second:,.0f} samples/s · {int(left) // 60}:{int(left) % 60:02d} left"
        )
        line += " · collapsed" if self.collapsed else ""
        print(f"\r{line}   " if terminal else line, end="" if terminal and step < steps else "\n", flush=True)
