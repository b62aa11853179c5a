"""The world of strokes: small pictures of 0 and 1, drawn of distributions whose density is known exactly.

It is an instrument, not a benchmark: for these pictures the log-likelihood of a model has a known ceiling.

    bars          bars and stripes: 30 pictures of 4 x 4 that are ever drawn; entropy 3.379 nats
    ising         a lattice of 4 x 4 with couplings of both signs, which a model may recover; entropy 9.27 nats
    silhouettes   shapes of eight classes, 8 x 8, with noise: 400 templates; 99.8 % is the most that a classifier gets
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ssl_models.bounds import require_choice
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._world_strokes.bars import Bars
from ssl_models.datasets._world_strokes.ising import Ising
from ssl_models.datasets._world_strokes.pattern import Pattern
from ssl_models.datasets._world_strokes.silhouettes import Silhouettes

KIND = "strokes"
SIDES = {"bars": Bars.sides, "ising": Ising.sides, "silhouettes": Silhouettes.sides}
OWN = {"coupling": "ising", "noise": "silhouettes"}
"""Settings that one pattern alone has."""
MOST_COUPLING = 2.0


def load(
    *,
    seed: int,
    pattern: str = "silhouettes",
    side: int | None = None,
    train: int = 8192,
    test: int = 2048,
    coupling: float | None = None,
    noise: float | None = None,
) -> Dataset:
    """train and test vectors (N, side * side) of 0 and 1, row by row; truth log_density (N,). Draws are independent.

    pattern: "bars", "ising" or "silhouettes", see _world_strokes/. side: of a picture in pixels; None for 4, 4 and 8.
      It lies in 2 ... 8, 2 ... 4 and 4 ... 16.
    coupling: of "ising" alone, about the size of its couplings, 0 to 2; None for 0.4. They are the same for every seed.
    noise: of "silhouettes" alone, the share of pixels that are flipped, above 0 and below 0.5; None for 0.02.
    labels: of "bars" horizontal, vertical and plain, for a picture that is all on or all off has no orientation; of
      "silhouettes" the shape; of "ising" none.
    known: binary, grid, and mean and deviation of the distribution itself, exact, not of the samples; entropy in nats
      of "bars" and "ising", and of "silhouettes" at side 4; couplings, fields and log_partition of "ising".
    Raises ValueError for an unknown pattern, a setting out of range, and one that another pattern has.
    """
    own = _pattern(seed, pattern, side, train, test, coupling, noise)
    return Dataset(_split(own, train, (seed, 0)), _split(own, test, (seed, 1)), own.classes, known=_known(own))


def count(
    *,
    seed: int = 0,
    pattern: str = "silhouettes",
    side: int | None = None,
    train: int = 8192,
    test: int = 2048,
    coupling: float | None = None,
    noise: float | None = None,
) -> tuple[int, int]:
    """Number of training and test samples that `load` gives for these settings; checks them in the same way."""
    _pattern(seed, pattern, side, train, test, coupling, noise)
    return train, test


def describe(
    *,
    seed: int = 0,
    pattern: str = "silhouettes",
    side: int | None = None,
    train: int = 8192,
    test: int = 2048,
    coupling: float | None = None,
    noise: float | None = None,
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shape of a sample, and all that is known, which is the same for every seed. Raises as `load`."""
    own = _pattern(seed, pattern, side, train, test, coupling, noise)
    return {"vectors": (len(own.mean()),)}, _known(own)


def _pattern(
    seed: int, pattern: str, side: int | None, train: int, test: int, coupling: float | None, noise: float | None
) -> Pattern:
    """The distribution of these settings, which are checked."""
    if seed < 0:
        raise ValueError(f"world_strokes seed is {seed}; it must not be negative")
    for name, samples in (("train", train), ("test", test)):
        if samples < 1:
            raise ValueError(f"world_strokes {name} is {samples}; it must be at least 1 sample")
    require_choice("world_strokes pattern", pattern, tuple(SIDES))
    for name, value in (("coupling", coupling), ("noise", noise)):
        if value is not None and OWN[name] != pattern:
            raise ValueError(
                f"world_strokes {name} is {value}, and the pattern '{pattern}' has none; leave it out, or choose the "
                f"pattern '{OWN[name]}'"
            )
    least, most, usual = SIDES[pattern]
    chosen = usual if side is None else side
    if not least <= chosen <= most:
        raise ValueError(
            f"world_strokes side is {chosen} pixels; of the pattern '{pattern}' it must be {least} to {most}"
            + (", for all 2^(side * side) states are gone through" if pattern == "ising" else "")
        )
    if coupling is not None and not 0 <= coupling <= MOST_COUPLING:
        raise ValueError(f"world_strokes coupling is {coupling}; it must be 0 to {MOST_COUPLING}")
    if noise is not None and not 0 < noise < 0.5:
        raise ValueError(f"world_strokes noise is {noise}; it must lie between 0 and 0.5, both excluded")
    if pattern == "bars":
        return Bars(chosen)
    if pattern == "ising":
        return Ising(chosen) if coupling is None else Ising(chosen, coupling)
    return Silhouettes(chosen) if noise is None else Silhouettes(chosen, noise)


def _split(pattern: Pattern, samples: int, seed: tuple[int, int]) -> Split:
    vectors, labels = pattern.draw(samples, np.random.default_rng(seed))
    truth = {"log_density": torch.from_numpy(pattern.log_density(vectors).astype(np.float32))}
    own = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    return Split({"vectors": torch.from_numpy(vectors.astype(np.float32))}, own, truth=truth)


def _known(pattern: Pattern) -> dict[str, Any]:
    mean = pattern.mean()
    side = round(len(mean) ** 0.5)
    told = {"binary": True, "mean": mean.tolist(), "deviation": np.sqrt(mean * (1 - mean)).tolist()}
    return told | {"grid": [side, side]} | pattern.facts()
