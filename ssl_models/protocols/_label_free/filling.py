"""Whether a representation has collapsed, or fills few of its dimensions.

A collapse is that of ssl_models/collapse.py, as in trainings: the vectors of all samples are nearly equal. Features
that lie far apart on a line, or in few dimensions, have not collapsed; this is told in other words.

Legend: N samples, D features.
"""

from __future__ import annotations

from numpy import ndarray

from ssl_models import collapse
from ssl_models.collapse import DEVIATION, RANKME
from ssl_models.dimensions import deviation, entropy_rank, rankme, singular_values

LINE = 1.5
"""Features of a smaller rank, after centring, lie on a line."""
SHARE, MOST = 0.05, 10.0
"""Features of a smaller rank than this share of min(D, N - 1), or than this number, fill few dimensions."""


def told_of(features: ndarray) -> str | None:
    """What is to be said of features (N, D), as the end of a sentence; None where nothing is.

    Untrained networks are far from these limits. So are trained ones, but for autoencoders, whose features are
    dominated by a few directions such as brightness.
    """
    values, most = {DEVIATION: deviation(features), RANKME: rankme(features)}, min(features.shape)
    if collapse.close(values, most):
        return collapse.described(values, most)
    rank = entropy_rank(singular_values(features - features.mean(0)))
    if rank < LINE:
        return (
            "the features differ in one direction only: after centring they have a rank of "
            f"{rank:.2f} (one direction: under {LINE})"
        )
    full = min(features.shape[1], len(features) - 1)
    if rank < (limit := min(MOST, SHARE * full)):
        return f"the features fill few dimensions: about {rank:.1f} of {full} after centring (few: under {limit:.1f})"
    return None
