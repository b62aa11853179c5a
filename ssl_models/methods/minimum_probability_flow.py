"""Minimum probability flow: how fast would probability flow away from the samples? (Sohl-Dickstein et al. 2011)"""

from __future__ import annotations

from ssl_models.losses.energy import probability_flow
from ssl_models.single_flips import SingleFlips


class MinimumProbabilityFlow(SingleFlips):
    """The flow from samples to all that differ from them in one number. Chance, at equal energies, is D.

    Energy is pushed up at those neighbours of a sample whose energy is below its own, exponentially by how much. There
    are no hyper-parameters. Raises DoesNotApply for an encoder without an energy, and for real numbers.
    """

    name = "minimum_probability_flow"
    reference = "Sohl-Dickstein, Battaglino & DeWeese 2011, arXiv:0906.4779"
    even = 1.0
    objective = staticmethod(probability_flow)


METHOD = MinimumProbabilityFlow
