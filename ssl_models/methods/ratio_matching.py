"""Ratio matching: how likely is a vector beside those that differ from it in one number? (Hyvarinen 2007)"""

from __future__ import annotations

from ssl_models.losses.energy import ratio_matching
from ssl_models.single_flips import SingleFlips


class RatioMatching(SingleFlips):
    """The loss of Hyvarinen 2007, which Z cancels out of, with all single flips. Chance, at equal energies, is D / 4.

    Energy is pushed up at all neighbours of a sample, by more where they are as likely as it. There are no
    hyper-parameters. Raises DoesNotApply for an encoder without an energy, and for real numbers.
    """

    name = "ratio_matching"
    reference = "Hyvarinen 2007, Computational Statistics & Data Analysis 51, 2499-2512"
    even = 0.25
    objective = staticmethod(ratio_matching)


METHOD = RatioMatching
