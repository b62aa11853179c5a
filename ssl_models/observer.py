"""What a training is watched by: it keeps checkpoints and is told of steps and epochs."""

from __future__ import annotations

from typing import Any, Protocol


class Observer(Protocol):
    """Is called in the course of a training, and keeps its checkpoints."""

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, or None."""

    def discard(self, reason: str) -> None:
        """Called where the checkpoint of `load` does not fit this training, which then begins at its start."""

    def epoch(self, step: int, values: dict[str, float]) -> None:
        """Called at the end of an epoch, at `step`. `values` are the means of the epoch."""

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:
        """Keeps a checkpoint, whole or not at all."""

    def progress(self, step: int, steps: int, loss: float, samples_per_second: float) -> None:
        """Called after every step."""


class Silent:
    """An observer that keeps nothing."""

    def load(self) -> dict[str, Any] | None:
        return None

    def discard(self, reason: str) -> None:
        pass

    def epoch(self, step: int, values: dict[str, float]) -> None:
        pass

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:
        pass

    def progress(self, step: int, steps: int, loss: float, samples_per_second: float) -> None:
        pass
