"""Denoising score matching: the slope of the energy points from a noisy vector back to the clean one (Vincent 2011).

With a real-valued RBM of deviation s it is the error of a denoising autoencoder with tied weights. For a noisy vector
x its output is b + s W sigmoid(c + W'x / s), and the loss is |output - clean x|^2 / (2 sigma^2) where s = sigma. For
other s the output is mixed with x itself: sigma^2 / s^2 of the one, and the rest of the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy import EnergyEncoder, require_real, with_energy
from ssl_models.losses.energy import denoising_score
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.samplers.langevin import score
from ssl_models.views.drawing import normal


class DenoisingScoreMatching(Method):
    """The score of the data with noise of one deviation. Chance, for an energy that is flat, is D / 2.

    What is learnt is the density blurred by the noise. Where no noisy sample falls, nothing is learnt: with little
    noise the energy is free there, with much of it the energy is smooth. Raises DoesNotApply for an encoder without an
    energy, and for 0 and 1.

    sigma: the noise's deviation, in units of the data, whose deviation is 1. Default 0.3. Paper: by validation.
    """

    family = "energy"
    reference = "Vincent 2011, Neural Computation 23, 1661-1674"
    parts = ("vectors",)
    by_rows = True
    encoder: EnergyEncoder

    def __init__(self, encoder: Encoder, data: DataSpec, *, sigma: float = 0.3) -> None:  # noqa: ARG002
        own = with_energy(encoder, "denoising_score_matching")
        require_real(own, "denoising_score_matching")
        super().__init__(own)
        require_positive(sigma=sigma)
        self.sigma = sigma
        self.chance = own.visible / 2

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """(B, D) -> the vectors with noise, and the noise in deviations, each (B, D)."""
        vectors, generator = parts_and_generator
        samples = inputs(vectors)
        noise = normal(generator, *samples.shape)
        return samples + self.sigma * noise, noise

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """See `losses.energy.denoising_score`."""
        noisy, noise = views
        with torch.autocast(noisy.device.type, enabled=False):
            return {"loss": denoising_score(score(self.encoder.energy, noisy, keep=True), noise, self.sigma)}


METHOD = DenoisingScoreMatching
