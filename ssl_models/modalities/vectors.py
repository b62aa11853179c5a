"""Vectors: (B, D) float32, given to an encoder as they are; of 0 and 1 where `DataSpec.known["binary"]` says so."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from ssl_models.modalities.inputs import inputs

PARTS = ("vectors",)
AXES = 1


@dataclass(frozen=True)
class MildViews:
    """(B, D) -> (B, D), as it is: nobody knows which changes of a vector keep what it stands for."""

    def __call__(self, samples: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002
        return inputs(samples)
