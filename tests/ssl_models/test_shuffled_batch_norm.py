"""Batch norm in groups with shuffled keys, MoCo's guard: a key must not tell whom its query sat beside."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from tests.ssl_models.test_moco import made, method, pictures

torch.set_num_threads(1)


def test_keys_come_back_in_the_order_of_their_pictures() -> None:
    moco = method().eval()
    _, keys, order = made(moco)
    plain = functional.normalize(moco.teacher(keys), dim=1)
    torch.testing.assert_close(moco.keys(moco.teacher, keys, order), plain, rtol=1e-4, atol=1e-5)


def influences(network: Any) -> Tensor:
    """(B, B) bool: whether row i of `network`'s features depends on picture j."""
    batch = (pictures(12) / 255).requires_grad_()
    rows = []
    for feature in network(batch):
        (gradient,) = torch.autograd.grad(feature.square().square().sum(), batch, retain_graph=True)
        rows.append(gradient.abs().amax((1, 2, 3)) > 0)
    return torch.stack(rows)


def test_groups_have_statistics_of_their_own_and_the_order_decides_who_shares_them() -> None:
    moco = method(shuffle_groups=3, source="batch")
    order = torch.tensor([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])
    queries = influences(lambda batch: moco.in_groups(moco.network(), batch))
    keys = influences(lambda batch: moco.keys(moco.network(), batch, order))
    group = torch.arange(12) // 4
    assert torch.equal(queries, group[:, None] == group)
    place = order.argsort() // 4
    assert torch.equal(keys, place[:, None] == place)


def betrayed_groups(*, shuffled: bool) -> float:
    """How often a key betrays the group of four that its query was in.

    Queries and keys are the same pictures. For each key it is worked out what its picture's feature would be among the
    other members of each group, as the best cheat would; the group that comes nearest is the guess.
    """
    hits, batch, groups = [], 24, 4
    group = torch.arange(batch) // (batch // groups)
    for seed in range(3):
        moco = method(shuffle_groups=groups, centre=False)
        same, index = pictures(batch, seed) / 255, torch.arange(batch)
        order = moco.views(pictures(batch, seed), Generator().manual_seed(seed))[2] if shuffled else index
        for sample, key in enumerate(moco.loss(same, same, order, index=index).handed_over):
            distances = []
            for candidate in range(groups):
                others = index[(group == candidate) & (index != sample)][: batch // groups - 1]
                with torch.no_grad():
                    feature = moco.network()(same[torch.cat([index[sample, None], others])])[0]
                distances.append(float((functional.normalize(feature, dim=0) - key).norm()))
            hits.append(min(range(groups), key=distances.__getitem__) == int(group[sample]))
    return sum(hits) / len(hits)


def test_shuffling_takes_the_trace_of_the_query_s_group_out_of_the_keys() -> None:
    """A guess is right in a quarter of the cases, with a deviation of 0.05 over 72 keys."""
    assert betrayed_groups(shuffled=False) == 1
    assert betrayed_groups(shuffled=True) < 0.45
