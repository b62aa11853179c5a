"""The contract of a self-supervised objective: make views, score them, tidy up after a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar

from torch import Generator, Tensor, nn

from ssl_models.encoders.encoder import Encoder

FAMILIES = ("control", "predictive", "contrastive", "refit")


@dataclass(frozen=True)
class DataSpec:
    """What a method may know of its data before it sees a batch.

    samples: number of training samples N. shape: of one sample, for images (C, H, W).
    labels: (N,) int64 class or cluster ids on the CPU, None where there are none. classes: how many ids there are.
    targets: (N, K) float logits of a teacher for each sample, None where there is none.
    """

    samples: int
    shape: tuple[int, ...]
    labels: Tensor | None = None
    classes: int | None = None
    targets: Tensor | None = None


class Method(nn.Module, ABC):
    """A self-supervised objective around one encoder.

    A subclass takes `(encoder, data, *, hyper-parameters)`: the keyword-only part of the signature is the schema of
    the method's block in params.yaml. All state (heads, banks, queues, teachers) is in parameters and buffers, so
    that it is checkpointed and moves with `.to()`.
    """

    family: ClassVar[str]
    """One of FAMILIES."""

    reference: ClassVar[str]
    """The paper that it comes from, as "Gidaris et al. 2018, arXiv:1803.07728"; empty for a control."""

    chance: float | None = None
    """The loss of a network that knows nothing, e.g. log(classes); None where there is no such level."""

    trains: bool = True
    """False for a control that is saved as it was initialised."""

    def __init__(self, encoder: Encoder) -> None:
        """`encoder` is what will be saved: the one that was given, or one that the method has made of it."""
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, ...) uint8 samples -> views, each (B, ...) or (B * k, ...), float in [0, 1], on the same device.

        Every random number comes from `generator`, which lives on that device.
        """

    @abstractmethod
    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Named scalars for a batch; `index` (B,) int64 says which samples it holds.

        Terms that carry a gradient are summed and minimised; a detached one (an accuracy) is only logged.
        """

    def classifier(self) -> nn.Linear | None:
        """The head that gives the classes of `data.labels` from the encoder's vectors, where there is one."""
        return None

    def after_step(self, progress: float) -> None:
        """Moves banks, queues and teachers after an optimiser step; `progress` runs from 0 to 1 over a training."""


def method_class(name: str) -> type[Method]:
    """The class that `ssl_models/methods/<name>.py` offers as METHOD."""
    method: type[Method] = import_module(f"ssl_models.methods.{name}").METHOD
    return method
