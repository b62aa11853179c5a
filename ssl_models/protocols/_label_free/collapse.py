"""Whether a representation has collapsed: to a point, to a line, or to few of its dimensions.

Legend: N samples, D features.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy import ndarray

from ssl_models.protocols._label_free.spectra import entropy_rank, singular_values

POINT = 0.01
"""Features whose deviation is a smaller share of their length are one point."""
LINE = 1.5
"""Features of a smaller rank, after centring, lie on a line."""
SHARE, MOST = 0.05, 10.0
"""Features of a smaller rank than this share of min(D, N - 1), or than this number, fill few dimensions."""


def collapse(features: ndarray) -> str | None:
    """What has happened to features (N, D), as the end of a sentence; None where nothing has.

    Untrained networks are far from these limits. So are trained ones, but for autoencoders, whose features are
    dominated by a few directions such as brightness.
    """
    centred = features - features.mean(0)
    length, deviation = (sqrt(np.square(values).sum() / len(features)) for values in (features, centred))
    if deviation <= POINT * length:
        share = deviation / length if length > 0 else 0.0
        return (
            "the representation has collapsed to a point: all samples have nearly the same features, which deviate by "
            f"{share:.2%} of their length (a collapse: at most {POINT:.0%})"
        )
    rank = entropy_rank(singular_values(centred))
    if rank < LINE:
        return (
            "the representation has collapsed to a line: the features differ in one direction only, with a rank of "
            f"{rank:.2f} after centring (a collapse: under {LINE})"
        )
    full = min(features.shape[1], len(features) - 1)
    if rank < (limit := min(MOST, SHARE * full)):
        return (
            f"the representation has collapsed to few dimensions: the features fill about {rank:.1f} of {full} after "
            f"centring (a collapse: under {limit:.1f})"
        )
    return None
