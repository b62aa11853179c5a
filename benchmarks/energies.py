"""Persistent contrastive divergence beside scikit-learn's BernoulliRBM, both judged by the exact log Z.

The same RBM, data, batches a step, particles, number of steps and seeds. "the same rule" is plain SGD at one constant
rate, as BernoulliRBM has it; "as Covey trains" is the trainer with AdamW and a rate that falls. The gap is the mean of
true minus model log-likelihood on test samples, in nats: 0 is the truth.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.measuring import Effort, spread, threads
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from ssl_models.data import DataSpec
from ssl_models.datasets import world_strokes
from ssl_models.datasets._common.split import Dataset
from ssl_models.encoders.rbm import RBM
from ssl_models.methods.contrastive_divergence import ContrastiveDivergence
from ssl_models.partition import log_partition
from ssl_models.trainer import Settings, Training

HIDDEN, BATCH, EPOCHS, SEEDS = 12, 128, 40, 3
PEER = "scikit-learn"
RATES = (0.05, 0.1, 0.2, 0.4)
"""Constant rates that both are tried at with seed 0; each side then has the one that left it the smallest gap."""
ADAM = 0.02
"""Peak rate for a batch of 256 of the second row, by trial with seed 0."""


@dataclass(frozen=True)
class Outcome:
    """Of one training: nats below the truth, and samples a second of CPU time."""

    gap: float
    rate: float


def measure(effort: Effort, page: Page) -> None:
    """Adds two rows of nats, and one of speed."""
    epochs = 2 if effort.quick else EPOCHS
    with threads(1):
        data = world_strokes.load(seed=0, pattern="bars")
        rates = [min(RATES, key=lambda rate, of=of: of(data, 0, rate, epochs).gap) for of in (by_rule, peers)]
        runs = range(1, 2 if effort.quick else SEEDS + 1)
        mine = [by_rule(data, seed, rates[0], epochs) for seed in runs]
        others = [peers(data, seed, rates[1], epochs) for seed in runs]
        trained = [as_trained(data, seed, epochs) for seed in runs]
    told = (
        f"world_strokes, bars of 4 x 4, {len(data.train):,} samples, {HIDDEN} hidden units, batches and particles of "
        f"{BATCH}, {epochs} epochs, float32, one thread, seeds 1 to {len(mine)}; constant rates {rates[0]:g} and "
        f"{rates[1]:g}, each the best of {', '.join(f'{rate:g}' for rate in RATES)} with seed 0"
    )
    for what, own, how in (
        ("persistent CD, the same rule: nats below the truth", mine, told),
        ("persistent CD, as Covey trains: nats below the truth", trained, f"{told}; ours: AdamW at {ADAM:g}, falling"),
    ):
        ratio = [one.gap / two.gap for one, two in zip(own, others, strict=True)]
        gaps = [spread([each.gap for each in side]) for side in (own, others)]
        page.add(Row(what, "nats", gaps[0], how, Target("≤", 1.1, ratio=True), PEER, gaps[1], spread(ratio)))
    rates_of = [spread([each.rate for each in side]) for side in (mine, others)]
    ratio = [one.rate / two.rate for one, two in zip(mine, others, strict=True)]
    page.add(
        Row(
            *("persistent CD: samples a second", "samples/s", rates_of[0], f"CPU time; {told}"),
            *(Target("≥", 0.25, ratio=True), PEER, rates_of[1], spread(ratio)),
        )
    )


def by_rule(data: Dataset, seed: int, rate: float, epochs: int) -> Outcome:
    """Ours by plain SGD at a constant rate."""
    method, rows = _method(data, seed)
    optimizer = torch.optim.SGD(method.encoder.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    started = time.process_time()
    steps = epochs * (len(rows) // BATCH)
    for step in range(steps):
        batch = rows[torch.randint(len(rows), (BATCH,), generator=generator)]
        scored = method.loss(*method.views(batch, generator), index=torch.arange(BATCH))
        optimizer.zero_grad(set_to_none=True)
        scored.terms["contrast"].backward()
        optimizer.step()
        method.after_step(scored.handed_over, (step + 1) / steps)
    return _outcome(data, method.encoder, steps, time.process_time() - started)


def as_trained(data: Dataset, seed: int, epochs: int) -> Outcome:
    """Ours by the trainer."""
    method, rows = _method(data, seed)
    how = Settings(epochs, BATCH, "adamw", learning_rate=ADAM, weight_decay=0.0, warmup_epochs=1, monitor=False)
    training = Training(method, rows, how, seed=seed)
    started = time.process_time()
    training.run()
    return _outcome(data, method.encoder, training.steps, time.process_time() - started)


def peers(data: Dataset, seed: int, rate: float, epochs: int) -> Outcome:
    """scikit-learn's, whose rate is that of the mean over a batch, as ours is."""
    from sklearn.neural_network import BernoulliRBM

    rows = data.train.parts["vectors"].numpy()
    machine = BernoulliRBM(HIDDEN, learning_rate=rate, batch_size=BATCH, n_iter=epochs, random_state=seed)
    started = time.process_time()
    machine.fit(rows)
    seconds = time.process_time() - started
    encoder = RBM(visible=rows.shape[1], hidden=HIDDEN)
    with torch.no_grad():
        encoder.weight.copy_(torch.from_numpy(machine.components_.T))
        encoder.visible_bias.copy_(torch.from_numpy(machine.intercept_visible_))
        encoder.hidden_bias.copy_(torch.from_numpy(machine.intercept_hidden_))
    return _outcome(data, encoder, epochs * (len(rows) // BATCH), seconds)


def _method(data: Dataset, seed: int) -> tuple[ContrastiveDivergence, Tensor]:
    rows = data.train.parts["vectors"]
    torch.manual_seed(seed)
    spec = DataSpec(len(rows), {"vectors": tuple(rows.shape[1:])}, known=data.known)
    encoder = RBM(visible=rows.shape[1], hidden=HIDDEN)
    return ContrastiveDivergence(encoder, spec, persistent=True, particles=BATCH), rows


@torch.no_grad()
def _outcome(data: Dataset, encoder: RBM, steps: int, seconds: float) -> Outcome:
    test = data.test
    mean = (-encoder.energy(test.parts["vectors"])).mean() - log_partition(encoder)
    return Outcome(float(test.truth["log_density"].mean() - mean), steps * BATCH / seconds)
