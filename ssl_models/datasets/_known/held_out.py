"""Training pictures in the place of the test pictures, so that settings can be chosen without a look at the latter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ssl_models.datasets._common.split import Dataset, Split


def require_share(held_out: float) -> None:
    """Refuses what is no share below 1."""
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out is {held_out}; it must be at least 0, and below 1")


def hold_out(data: Dataset, share: float, seed: int) -> Dataset:
    """The training split in two: a `share` of it, drawn with `seed`, is the test split. 0 leaves all as it is."""
    if share == 0:
        return data
    import torch

    kept, held = counts(len(data.train), share)
    order = torch.randperm(kept + held, generator=torch.Generator().manual_seed(seed))
    train, test = (_rows(data.train, rows.sort().values) for rows in (order[held:], order[:held]))
    return replace(data, train=train, test=test)


def counts(samples: int, share: float) -> tuple[int, int]:
    """How many of the training samples stay, and how many are held out, at least one of each."""
    held = min(max(1, round(share * samples)), samples - 1)
    return samples - held, held


def _rows(split: Split, rows: Tensor) -> Split:
    """Those rows of a split of labelled pictures."""
    from ssl_models.datasets._common.split import Origin, Split

    origin, numbers = split.origin, rows.tolist()
    if origin is not None:
        files, groups = (
            tuple(names[row] for row in numbers) if names else () for names in (origin.files, origin.groups)
        )
        origin = Origin(files, None if origin.sizes is None else origin.sizes[rows], groups)
    return Split(
        {name: part[rows] for name, part in split.parts.items()},
        None if split.labels is None else split.labels[rows],
        origin=origin,
    )
