"""Noise-contrastive estimation: is this a sample, or noise of a known distribution? (Gutmann & Hyvarinen 2012)

The classifier's logit is that of the model's density, and so log Z is learnt as one more parameter.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy import EnergyEncoder, with_energy
from ssl_models.errors import DoesNotApply
from ssl_models.losses.energy import nce_chance, noise_contrastive
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.views.drawing import normal, uniform

LEAST = 0.01
"""Noise of 0 and 1 is on and off at least this often, so that it can be everything that a sample can be."""

DRAWS = 256
"""Of noise, by which `log_z` starts."""


class NoiseContrastiveEstimation(Method):
    """Data against noise: independent units with the data's means, or a Gaussian with the data's mean and deviation.

    Chance is log(1 + r) + r log(1 + 1 / r), where the model is the noise. `log_z` starts where the mean logit of noise
    is that of chance, -log r, by draws from a generator of its own. Raises DoesNotApply for an encoder without an
    energy, for data whose mean and deviation are not known, and for real numbers of which one is constant.

    ratio: r, draws of noise for a sample. Default 5. Paper 1 to 100.
    spread: the Gaussian's deviation, in deviations of the data. Default 1.2: noise must reach where samples are. Paper
        the data's own.
    """

    family = "energy"
    reference = "Gutmann & Hyvarinen 2012, JMLR 13, 307-361"
    parts = ("vectors",)
    by_rows = True
    encoder: EnergyEncoder

    def __init__(self, encoder: Encoder, data: DataSpec, *, ratio: int = 5, spread: float = 1.2) -> None:
        own = with_energy(encoder, "noise_contrastive_estimation")
        super().__init__(own)
        require_positive(ratio=ratio, spread=spread)
        mean, deviation = (_known(data, name) for name in ("mean", "deviation"))
        if not own.binary and not bool((deviation > 0).all()):
            raise DoesNotApply(
                "noise_contrastive_estimation draws Gaussian noise like the data, and number "
                f"{int(deviation.argmin())} of these vectors is constant"
            )
        self.ratio = ratio
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean.clamp(LEAST, 1 - LEAST) if own.binary else mean, persistent=False)
        self.register_buffer("deviation", spread * deviation, persistent=False)
        noise = self.drawn(DRAWS, Generator().manual_seed(0))
        with torch.no_grad():
            self.log_z = nn.Parameter((-own.energy(noise) - self.log_noise(noise)).mean())
        self.chance = nce_chance(ratio)

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """(B, D) -> the samples as they are, and noise (B * ratio, D)."""
        vectors, generator = parts_and_generator
        samples = inputs(vectors)
        return samples, self.drawn(len(samples) * self.ratio, generator)

    def drawn(self, count: int, generator: Generator) -> Tensor:
        """(count, D) of noise."""
        shape = (count, self.encoder.visible)
        if self.encoder.binary:
            return (uniform(generator, *shape) < self.mean).float()
        return self.mean + self.deviation * normal(generator, *shape)

    def log_noise(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,): log of the noise's probability, or of its density."""
        if self.encoder.binary:
            return (x * self.mean.log() + (1 - x) * torch.log1p(-self.mean)).sum(1)
        away = ((x - self.mean) / self.deviation).square() / 2
        return -(away + self.deviation.log() + math.log(2 * math.pi) / 2).sum(1)

    def logits(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,): log p_model - log p_noise - log ratio; over 0 for what is taken for a sample."""
        return -self.encoder.energy(x) - self.log_z - self.log_noise(x) - math.log(self.ratio)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The contrast; how much is told apart, and log Z (both only logged)."""
        samples, noise = (self.logits(view) for view in views)
        right = ((samples > 0).float().mean() + self.ratio * (noise < 0).float().mean()) / (1 + self.ratio)
        return {
            "loss": noise_contrastive(samples, noise, self.ratio),
            "accuracy": right.detach(),
            "log_z": self.log_z.detach().clone(),
        }


def _known(data: DataSpec, name: str) -> Tensor:
    if name not in data.known:
        raise DoesNotApply(f"noise_contrastive_estimation draws noise like the data, whose {name} is not known here")
    return torch.tensor(data.known[name], dtype=torch.float32)


METHOD = NoiseContrastiveEstimation
