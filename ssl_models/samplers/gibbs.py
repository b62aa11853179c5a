"""Gibbs sampling: each number, or block of numbers, is drawn given the others (Geman & Geman 1984)."""

from __future__ import annotations

from torch import Generator, Tensor

from ssl_models.encoders.energy import EnergyEncoder


def gibbs(encoder: EnergyEncoder, x: Tensor, steps: int, generator: Generator) -> Tensor:
    """(B, D) -> (B, D) after so many steps, each of all numbers (`EnergyEncoder.resampled`); without gradients."""
    for _ in range(steps):
        x = encoder.resampled(x, generator)
    return x
