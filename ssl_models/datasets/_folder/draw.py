"""Draws the test split of a class."""

from __future__ import annotations


def chosen_for_test(samples: int, test_fraction: float, seed: tuple[int, int]) -> set[int]:
    """The test samples of a class: at least one, and not all. seed: of the data set, and the class's index."""
    import numpy as np

    wanted = min(samples - 1, max(1, round(samples * test_fraction)))
    return set(np.random.default_rng(seed).permutation(samples)[:wanted].tolist())
