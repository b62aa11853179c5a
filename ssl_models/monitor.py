"""What is measured of a representation while it trains: on a fixed piece of the training samples, after an epoch.

The piece is drawn once, from a seed. It is trained on like all other samples: labels serve the probe alone. Nothing
that is computed here changes the training: no random number is drawn, statistics of normalisation stay as they are, and
the encoder's functions are those that are neither compiled nor divided among processes. What is measured depends on the
weights alone, so that a resumed training tells the same.

Cost: at most BUDGET of the training's own operations. A step takes about three forward passes (Kaplan et al. 2020,
arXiv:2001.08361, section 2.1: the backward pass costs twice the forward one), a measurement one of the piece, and the
operations of RankMe and of the probe; the first takes as much again, for preparing what the later ones find prepared.
So small sets are measured after every n-th epoch, always after the last, and a training for which a single measurement
is too much not at all. All of this is counted, by no clock, so that it is the same on any machine.
Legend: M samples of the piece, D numbers of a vector, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ssl_models.chunks import as_written
from ssl_models.collapse import DEVIATION, PROBE, RANKME
from ssl_models.dimensions import deviation, rankme
from ssl_models.encoders.encoder import Encoder
from ssl_models.feeding import batches, slices
from ssl_models.hardware import autocast
from ssl_models.modalities.inputs import inputs
from ssl_models.rows import Samples, chosen

BUDGET = 0.03
"""Of the operations of a training, the share that measuring may take."""
TOO_SHORT = f"measuring would take over {100 * BUDGET:g} % of so short a training"
PASSES = 3
"""Forward passes that a step takes as long as."""
SHARE = 16
"""The samples of an epoch for each sample of the piece."""
FEWEST, MOST = 256, 1024
"""Samples of a piece, where there are enough of them: at least one in SHARE, within these limits."""
ROWS = 256
"""Samples that the encoder is given at once, at most."""


class Monitor:
    """Measures an encoder on a piece of the training samples.

    samples: part -> (N, ...) as an encoder is given them, in files or in memory; the rows of the piece are read anew
    each time. labels: (N,) whole numbers from 0, or None.
    """

    def __init__(self, samples: Mapping[str, Samples], labels: ndarray | None, *, seed: int) -> None:
        count = len(next(iter(samples.values())))
        numbers = drawn(count, seed)
        self.samples = {part: chosen(stored, numbers) for part, stored in samples.items()}
        self.labels = None if labels is None else torch.from_numpy(np.asarray(labels)[numbers])
        self._operations: float | None = None

    def rank(self, encoder: Encoder) -> int:
        """The largest that RankMe can be: that of the smaller side of the vectors (M, D)."""
        return min(len(next(iter(self.samples.values()))), encoder.dim)

    def due(self, encoder: Encoder, epoch: int, epochs: int, trained_on: float) -> bool:
        """Whether to measure after this epoch, the first being 1. trained_on: numbers in an epoch's views."""
        affordable = int(BUDGET * PASSES * epochs * trained_on / self.cost(encoder)) - 1  # the first counts twice
        return affordable > 0 and (epochs - epoch) % math.ceil(epochs / affordable) == 0

    def cost(self, encoder: Encoder) -> float:
        """What a measurement takes, as numbers that the encoder is given in forward passes."""
        read = [self.samples[part] for part in encoder.reads(self.samples)]
        if self._operations is None:
            self._operations = operations(encoder, [part[:1] for part in read])
        size = len(read[0])
        beside = operations_beside(size, encoder.dim, self.labels is not None)
        return sum(math.prod(part.shape) for part in read) * (1 + beside / (size * self._operations))

    def measure(self, encoder: Encoder, device: torch.device, precision: str, rows: int) -> dict[str, float]:
        """What MEASURED names, without the probe where there are no labels; {} for vectors that are not finite.

        precision: as resolved. rows: samples that the encoder takes at once, at most; never more than ROWS.
        """
        vectors = self._vectors(encoder, device, precision, min(rows, ROWS))
        if not bool(vectors.isfinite().all()):
            return {}
        labels = None if self.labels is None else self.labels.to(device)
        probed = {} if labels is None else {PROBE: probe(vectors, labels)}
        plain = vectors.cpu().numpy()
        return probed | {RANKME: rankme(plain), DEVIATION: deviation(plain)}

    @torch.no_grad()
    def _vectors(self, encoder: Encoder, device: torch.device, precision: str, rows: int) -> Tensor:
        """(M, D) float64."""
        read = [self.samples[part] for part in encoder.reads(self.samples)]
        order = slices(len(read[0]), rows)
        with (
            as_written(encoder),
            evaluating(encoder),
            autocast(precision, device),
            closing(batches(read, order, device)) as ahead,
        ):
            return torch.cat([encoder(*map(inputs, batch)).double() for _, batch in ahead])


def drawn(count: int, seed: int) -> ndarray:
    """(M,) numbers of the samples of the piece, in the order in which they are drawn; at most half of all samples."""
    size = max(min(2, count), min(count // 2, max(FEWEST, min(MOST, count // SHARE))))
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:size].numpy()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within this context a module is in evaluation mode; then each part of it in the mode in which it was."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


@torch.no_grad()
def operations(encoder: Encoder, sample: list[ndarray]) -> float:
    """Those of the encoder's forward pass of one sample: of its convolutions and matrix products, as torch counts them.

    At least two for each weight, as in Kaplan et al.: of a table of words nothing is multiplied. sample: (1, ...) each.
    """
    device = next(encoder.parameters()).device
    rows = [inputs(torch.from_numpy(np.array(part)).to(device)) for part in sample]
    with as_written(encoder), evaluating(encoder), FlopCounterMode(display=False) as counter:
        encoder(*rows)
    return float(max(counter.get_total_flops(), 2 * sum(weight.numel() for weight in encoder.parameters())))


def operations_beside(size: int, dim: int, probed: bool) -> float:
    """Those of RankMe and of the probe on vectors (size, dim), each counted twice, as they have 64 bits.

    Products of matrices, eigenvalues of n x n numbers with 9 n^3 (Golub & Van Loan, Matrix Computations, section 8.3),
    and two systems of n equations with 2/3 n^3.
    """
    short, half = min(size, dim), size / 2
    ranks = 2 * size * dim * short + 9 * short**3
    return 2 * (ranks + (2 * (4 * half**2 * dim + 2 / 3 * half**3) if probed else 0))


def probe(vectors: Tensor, labels: Tensor) -> float:
    """The share of samples, vectors (M, D), whose label (M,) a linear classifier of the other half names.

    Ridge regression on the K indicators of the classes, in closed form: each half is fitted and the other one measured.
    The numbers of the fitted half are standardised; the penalty of the weights is D, so that kernels x x^T / D, which
    have a mean of 1 on the diagonal, are given a ridge of 1. Of equal answers the class with the lower number counts.
    """
    half, targets = len(vectors) // 2, functional.one_hot(labels).double()
    first, second = (vectors[:half], targets[:half]), (vectors[half:], targets[half:])
    right = sum(_right(*fitted, *measured) for fitted, measured in ((first, second), (second, first)))
    return right / len(vectors)


def _right(fitted: Tensor, targets: Tensor, measured: Tensor, truth: Tensor) -> int:
    """How many of the measured samples the classifier of the fitted ones names right."""
    mean, spread = fitted.mean(0), fitted.std(0, unbiased=False)
    scale = torch.where(spread > 0, 1 / spread, 0) / math.sqrt(fitted.shape[1])
    fitted, measured = (fitted - mean) * scale, (measured - mean) * scale
    kernel = fitted @ fitted.T + torch.eye(len(fitted), dtype=fitted.dtype, device=fitted.device)
    level = targets.mean(0)
    answers = measured @ (fitted.T @ torch.linalg.solve(kernel, targets - level)) + level
    return int((answers.argmax(1) == truth.argmax(1)).sum())
