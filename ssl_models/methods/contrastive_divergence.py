"""Contrastive divergence: energy goes down at the data, and up where a short chain that starts there ends.

Hinton 2002. With particles that go on from step to step it is persistent (Tieleman 2008; Younes 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy import EnergyEncoder, with_energy
from ssl_models.errors import DoesNotApply
from ssl_models.method import Method, Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.samplers.gibbs import gibbs
from ssl_models.samplers.langevin import followed
from ssl_models.samplers.particles import Particles, drawn, starting
from ssl_models.views import drawing

AUTO, GIBBS, LANGEVIN = "auto", "gibbs", "langevin"


class ContrastiveDivergence(Method):
    """Mean energy of the data minus that of samples, through which no gradient flows (Hinton 2002, eq. 8).

    The gradient is that of the likelihood where samples are the model's own. The value itself is no objective: it need
    not fall, and is near 0 in the end. There is no chance level. Raises DoesNotApply for an encoder without an energy,
    and for Gibbs sampling of real numbers whose conditional distributions are not known.

    steps: k, of the chain between two updates. Default 1. Paper 1; Tieleman 2008 too.
    persistent: whether chains go on from where they were, in place of starting at the batch. Default False. Paper
        False; Tieleman 2008 True.
    particles: P, chains that go on; of those that do not, so many are shown. Default 256. Tieleman 2008 takes as many
        as samples in a batch, 100.
    sampler: "gibbs", "langevin", or "auto": Gibbs where the encoder has it, else Langevin. Default "auto". Paper Gibbs;
        Langevin with networks: Du & Mordatch 2019, arXiv:1903.08689.
    step: of Langevin dynamics, the deviation of its noise in units of the data, whose deviation is 1. Default 0.2: on
        world_points 72 to 99 % of such steps are accepted, of 0.4 17 to 93 %, and persistent chains of 0.1 end 2 nats
        or more below the truth, where those of 0.2 end 0.6 to 1.0 (one seed, 2,048 samples, 20 epochs). Own.
    """

    family = "energy"
    reference = "Hinton 2002, Neural Computation 14, 1771-1800"
    parts = ("vectors",)
    by_rows = True
    encoder: EnergyEncoder

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        steps: int = 1,
        persistent: bool = False,
        particles: int = 256,
        sampler: str = AUTO,
        step: float = 0.2,
    ) -> None:
        own = with_energy(encoder, "contrastive_divergence")
        super().__init__(own)
        require_positive(steps=steps, particles=particles, step=step)
        require_choice("sampler", sampler, (AUTO, GIBBS, LANGEVIN))
        if sampler == LANGEVIN and own.binary:
            raise ValueError("sampler is 'langevin', which is for real numbers, and these vectors are of 0 and 1")
        if sampler == GIBBS and not own.resamples:
            raise DoesNotApply(f"sampler is 'gibbs', and the encoder '{own.name}' has no Gibbs sampler of real numbers")
        self.steps, self.persistent, self.step = steps, persistent, step
        self.by_gibbs = own.resamples if sampler == AUTO else sampler == GIBBS
        self.known = data.known
        self.particles = Particles(starting(data.known, particles, own.visible, own.binary))

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """(B, D) -> the vectors as they are, and the seed (1,) int64 of the chains, which `loss` runs."""
        vectors, generator = parts_and_generator
        return inputs(vectors), drawing.seed(generator)

    def layout(self, views: Any) -> tuple[int, ...]:  # noqa: ARG002
        return 1, 0

    def loss(self, *views: Tensor, index: Tensor) -> Scored:  # noqa: ARG002
        """The contrast; only logged: how far the chains have `moved`, see `distance`, and what `sampled` tells.

        Hands over where they ended.
        """
        samples, seed = views
        start = self.particles.now if self.persistent else samples
        ended, told = self.sampled(start, drawing.seeded(seed, samples.device))
        contrast = self.encoder.energy(samples).mean() - self.encoder.energy(ended).mean()
        moved = distance(start, ended, self.encoder.binary)
        return Scored({"contrast": contrast, "moved": moved, **told}, handed_over=ended)

    def sampled(self, x: Tensor, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, D) -> (B, D) after `steps` of the sampler, without gradients; of Langevin's, the share `accepted`."""
        if self.by_gibbs:
            return gibbs(self.encoder, x, self.steps, generator), {}
        ended, accepted = followed(self.encoder.energy, x, self.steps, self.step, generator)
        return ended, {"accepted": accepted}

    def after_step(self, handed_over: Tensor, progress: float) -> None:
        """Moves the particles; of chains that do not go on, keeps where they ended."""
        self.particles.move(handed_over, progress)

    def pictures(self, samples: Sequence[Tensor]) -> dict[str, Any]:  # noqa: ARG002
        """The particles over the training, where they can be drawn."""
        picture = drawn(self.particles, self.known, self.encoder.energy)
        return {} if picture is None else {"particles_over_its_training": picture}


def distance(before: Tensor, after: Tensor, binary: bool) -> Tensor:
    """(B, D) twice -> (): the share of numbers that differ, or of real ones the mean distance of a vector."""
    return (before != after).float().mean() if binary else (after - before).norm(dim=1).mean()


METHOD = ContrastiveDivergence
