"""Whether an energy has the couplings of the model that the data were drawn from.

Legend: D units of 0 and 1, s = 2 x - 1, P = D (D - 1) / 2 pairs of units.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy import ndarray

from ssl_models.encoders.energy import EnergyEncoder, require_binary
from ssl_models.encoders.states import MOST, states
from ssl_models.errors import DoesNotApply, NeedsTruth
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._density.couplings import picture
from ssl_models.protocols._density.model import energy_encoder, require_finite

NEEDS = ("energy", "encoder", "known")
TITLE = "parameters"
READING = (
    "How near the couplings of an energy are to the true ones: agreement is 1 where they are the same and 0 for an "
    "energy that is the same everywhere. They are those that fit best over all states alike, likely and unlikely."
)
HEADLINE = "agreement"
UNITS = {"agreement": "number", "correlation": "number", "fields": "number", "error": "number"}
EVERY = True
TINY = 1e-12
"""A product of deviations below this is that of a constant."""
Measure = Callable[[ndarray, ndarray], float]


def evaluate(representation: Representation, *, seed: int) -> Findings:
    """agreement = 1 - |J_model - J| / |J| over pairs; correlation over pairs; error, their root mean square difference.

    fields: the agreement of the fields, where the true ones are not all 0. The true ones are `known["couplings"]` and
    `known["fields"]`, as in encoders/boltzmann.py. Those of any energy are its Walsh coefficients of second and first
    order: J_ij is the mean of -E(s) s_i s_j over all 2^D states, h_i that of -E(s) s_i. For a Boltzmann machine they
    are its parameters. All states count alike: of an energy of another form, such as an RBM's, also those that neither
    data nor model ever show. Intervals are by bootstrap over pairs, or over units.

    Raises NeedsTruth for data whose couplings are not known, DoesNotApply for an encoder without an energy of 0 and 1,
    or with more than 20 units, ValueError for couplings or fields of another form and energies that are not finite.
    """
    true, fields = known_parameters(representation)
    encoder = energy_encoder(representation, "parameters")
    require_binary(encoder, "the protocol 'parameters'")
    if encoder.visible > MOST or encoder.visible != len(true):
        raise DoesNotApply(
            f"the energy is of {encoder.visible} units, and the couplings are of {len(true)}; these must be as many, "
            f"and at most {MOST}"
        )
    found, pulls = walsh(encoder)
    pairs = np.triu_indices(len(true), 1)
    own, aim = found[pairs], true[pairs]
    scores = [
        _score("agreement", agreement, own, aim, seed),
        _score("correlation", correlation, own, aim, seed),
        _score("error", error, own, aim, seed),
    ]
    if fields is not None and np.any(fields):
        scores.append(_score("fields", agreement, pulls, fields, seed))
    return Findings(scores, {"couplings": picture(true, found, representation.known.get("grid"))})


def known_parameters(representation: Representation) -> tuple[ndarray, ndarray | None]:
    """The true couplings (D, D), and fields (D,) where known. Raises NeedsTruth, ValueError for a wrong form."""
    known = representation.known
    if "couplings" not in known:
        raise NeedsTruth("the couplings that these data were drawn by are not known")
    true = np.asarray(known["couplings"], np.float64)
    if true.ndim != 2 or true.shape[0] != true.shape[1] or not np.allclose(true, true.T) or np.diag(true).any():
        raise ValueError(f"known couplings of shape {true.shape} must be square, symmetric, and 0 on the diagonal")
    if not np.any(true):
        raise NeedsTruth("the couplings that these data were drawn by are all 0")
    if known.get("fields") is None:
        return true, None
    fields = np.asarray(known["fields"], np.float64)
    if fields.shape != (len(true),) or not np.isfinite(fields).all():
        raise ValueError(
            f"known fields of shape {fields.shape} must be one finite number for each of {len(true)} units"
        )
    return true, fields


@torch.no_grad()
def walsh(encoder: EnergyEncoder) -> tuple[ndarray, ndarray]:
    """(D, D) symmetric with zeros on the diagonal, and (D,): the coefficients of -E of second and first order."""
    device = next(encoder.parameters()).device
    count = 2**encoder.visible
    second = torch.zeros(encoder.visible, encoder.visible, dtype=torch.float64)
    first = torch.zeros(encoder.visible, dtype=torch.float64)
    for x in states(encoder.visible, device):
        spins, heights = (2 * x - 1).double().cpu(), -encoder.energy(x).double().cpu()
        require_finite(heights)
        second += spins.T @ (spins * heights.unsqueeze(1)) / count
        first += heights @ spins / count
    found = second.numpy()
    np.fill_diagonal(found, 0.0)
    return found, first.numpy()


def agreement(own: ndarray, aim: ndarray) -> float:
    """1 - |own - aim| / |aim|; 1 for the same, 0 for none, below 0 for worse than none. NaN where `aim` is all 0."""
    size = float(np.linalg.norm(aim))
    return 1 - float(np.linalg.norm(own - aim)) / size if size else float("nan")


def correlation(own: ndarray, aim: ndarray) -> float:
    """Pearson's; 0 for a constant."""
    one, other = own - own.mean(), aim - aim.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size > TINY else 0.0


def error(own: ndarray, aim: ndarray) -> float:
    """The root mean square of the differences."""
    return float(np.sqrt(np.square(own - aim).mean()))


def _score(metric: str, measure: Measure, own: ndarray, aim: ndarray, seed: int) -> Score:
    low, high = bootstrap(lambda rows: measure(own[rows], aim[rows]), len(aim), seed=seed)
    return Score("", metric, measure(own, aim), low, high)
