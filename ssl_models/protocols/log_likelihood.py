"""How likely test samples are under an energy's distribution, in nats.

log p(x) = -E(x) - log Z. Z is exact where it can be computed. Annealed importance sampling estimates it elsewhere, and
is checked against it where both can be had (Salakhutdinov & Murray 2008). Legend: N test samples.
"""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
import torch
from numpy import ndarray

from ssl_models.bounds import require_positive
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.errors import NeedsSamples, NeedsTruth
from ssl_models.partition import computable, extent_of, log_partition
from ssl_models.protocols._common.checks import shared_sources
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._density.model import energies, energy_encoder, vectors
from ssl_models.samplers.annealed import Estimate, annealed_log_partition
from ssl_models.trainer import derive_seed

NEEDS = ("energy", "encoder", "samples", "known", "log_density")
TITLE = "log-likelihood"
READING = (
    "Mean log-probability of test samples in nats, more is better; an even distribution over D units of 0 and 1 has "
    "-D log 2. The gap is how much more the true distribution gives them. A network that was not trained as an energy, "
    "such as a refit, gets its number too."
)
HEADLINE = "log_likelihood"
UNITS = {"log_likelihood": "number", "gap": "number", "log_z": "number", "ais_error": "number"}
WORDS = {"log_likelihood": "nats", "gap": "nats below the truth", "log_z": "log Z", "ais_error": "AIS less log Z"}
Z = 1.96
FINE = 0.01
"""Nats that half the points of a grid may change log Z by."""
FEW = 10
"""Chains that an estimate must be worth."""
FEWEST = 2
"""Test samples, of which one alone has no interval."""


def evaluate(
    representation: Representation, *, seed: int, chains: int = 256, temperatures: int = 500, points: int = 256
) -> Findings:
    """log_likelihood; gap, where the true log_density is known; log_z; and ais_error, where log Z is exact.

    gap is the mean of true less model log-probability, an estimate of the Kullback-Leibler divergence. Intervals are
    1.96 standard errors over test samples, or over their sources where they share any, see `_half`; where log Z is
    estimated its own error is added. Real vectors are as their reader standardises them, and so are the nats. The table
    says how log Z was had.

    chains, temperatures: of annealed importance sampling. points: of the grid each way, for one or two real numbers.
    Raises DoesNotApply for an encoder without an energy, NeedsParts for samples without vectors, NeedsSamples
    for fewer than two test samples, ValueError for settings out of range.
    """
    refuse(chains=chains, temperatures=temperatures, points=points)
    encoder = energy_encoder(representation, "log_likelihood")
    x = vectors(representation, "test", "log_likelihood")
    if len(x) < FEWEST:
        raise NeedsSamples(f"the test split has {len(x)} samples; an interval takes at least {FEWEST}")
    heights = -energies(encoder, x)
    exact, how, notes = _exact(representation, encoder, points)
    estimate = _annealed(representation, encoder, seed, chains, temperatures)
    log_z, doubt = (estimate.value, estimate.error) if exact is None else (exact, 0.0)
    sources = _sources(representation, notes)
    scores = [_mean("log_likelihood", heights - log_z, doubt, sources)]
    true = _true(representation, len(x))
    if true is not None:
        scores.append(_mean("gap", true - heights + log_z, doubt, sources))
    scores.append(_around("log_z", log_z, doubt))
    if exact is not None:
        scores.append(_around("ais_error", estimate.value - exact, estimate.error))
    if estimate.effective < FEW:
        notes.append(_warning(estimate, exact))
    return Findings(scores, tables={"log_z": _table(representation, how, exact, estimate)}, notes=tuple(notes))


def refuse(*, chains: int, temperatures: int, points: int) -> None:
    """Raises ValueError for settings that `evaluate` cannot work with."""
    require_positive(temperatures=temperatures)
    if chains < 2:
        raise ValueError(f"chains is {chains}; it must be at least 2")
    if points < 2:
        raise ValueError(f"points is {points}; it must be at least 2")


@torch.no_grad()
def _exact(representation: Representation, encoder: EnergyEncoder, points: int) -> tuple[float | None, str, list[str]]:
    """log Z where it can be computed, how it was, and notes on it."""
    extent = extent_of(representation.known)
    how = computable(encoder, extent)
    if not how:
        return None, "annealed importance sampling", []
    value, notes = float(log_partition(encoder, extent, points)), []
    if how.startswith("quadrature"):
        how = f"{how}, {points} points each way"
        coarse = float(log_partition(encoder, extent, points // 2))
        if abs(coarse - value) > FINE:
            notes.append(
                f"Half the points of the grid change log Z by {abs(coarse - value):.2g} nats; give more points."
            )
    return value, how, notes


def _annealed(
    representation: Representation, encoder: EnergyEncoder, seed: int, chains: int, temperatures: int
) -> Estimate:
    """By the data's mean and deviation as the reader tells them, else those of the training samples."""
    known = representation.known
    if "mean" in known and "deviation" in known:
        mean, deviation = (torch.tensor(known[name], dtype=torch.float32) for name in ("mean", "deviation"))
    else:
        rows = vectors(representation, "train", "log_likelihood", most=8192)
        mean, deviation = rows.mean(0), rows.std(0, correction=0)
    generator = torch.Generator().manual_seed(derive_seed(seed, "log_likelihood"))
    return annealed_log_partition(
        encoder, mean, deviation, chains=chains, temperatures=temperatures, generator=generator
    )


def _true(representation: Representation, count: int) -> ndarray | None:
    """(N,) true log p; None where it is not known. Raises ValueError for another number of them, or infinite ones."""
    try:
        found = np.asarray(representation.truth("test", "log_density"), np.float64)
    except NeedsTruth:
        return None
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(f"the test log_density of shape {found.shape} must be one finite number for each of {count}")
    return found


def _sources(representation: Representation, notes: list[str]) -> ndarray | None:
    """(N,) the sources of the test samples; None where samples count each on its own. `notes` is told of one alone."""
    sources = shared_sources(representation)
    if sources is None or len(np.unique(sources)) > 1:
        return sources
    notes.append("All test samples are of one source, so the intervals say nothing of other sources.")
    return None


def _mean(metric: str, values: ndarray, doubt: float, sources: ndarray | None) -> Score:
    """The mean of (N,) and its interval. doubt: the standard error of what all values have in common."""
    value, half = float(values.mean()), hypot(_half(values, sources), Z * doubt)
    return Score("", metric, value, value - half, value + half)


def _half(values: ndarray, sources: ndarray | None) -> float:
    """Half the interval of the mean of (N,): Z standard errors over samples, or Student's t over G sources (N,).

    With s_g the sum over a source of values less their mean, the variance is G / (G - 1) * sum over g of s_g^2 / N^2,
    with G - 1 degrees of freedom, as of intervals.clustered; that is for shares alone, and nats have no bounds.
    """
    if sources is None:
        return Z * float(values.std(ddof=1)) / sqrt(len(values))
    from scipy.special import stdtrit  # late: most data need none

    _, unit = np.unique(sources, return_inverse=True)
    sums = np.bincount(unit, values - values.mean())
    units = len(sums)
    return float(stdtrit(units - 1, 0.975)) * sqrt(units / (units - 1) * float(sums @ sums)) / len(values)


def _around(metric: str, value: float, error: float) -> Score:
    return Score("", metric, value, value - Z * error, value + Z * error)


def _warning(estimate: Estimate, exact: float | None) -> str:
    """Of an estimate that is worth few chains."""
    found = (
        f"Annealed importance sampling is worth {estimate.effective:.1f} chains here, so its log Z is not to be trusted"
    )
    used = "" if exact is None else ", and the exact one is used"
    return f"{found}{used}; more temperatures help."


def _table(representation: Representation, how: str, exact: float | None, estimate: Estimate) -> dict[str, list[str]]:
    rows = [("log Z by", how), ("log Z", f"{estimate.value if exact is None else exact:.3f}")]
    rows.append(("by annealing", f"{estimate.value:.3f} ± {estimate.error:.3f}, worth {estimate.effective:.0f} chains"))
    if "entropy" in representation.known:
        rows.append(("entropy of the truth", f"{representation.known['entropy']:.3f}"))
    return {"": [name for name, _ in rows], "nats": [value for _, value in rows]}
