"""The memory bank: unit rows, moved one batch at a time, and negatives that are never the sample itself."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.memory import EXCLUDED, MemoryBank

torch.set_num_threads(1)


@pytest.fixture
def bank() -> MemoryBank:
    return MemoryBank(20, 8, Generator().manual_seed(0))


def test_rows_are_random_unit_vectors_in_the_state_dict(bank: MemoryBank) -> None:
    torch.testing.assert_close(bank.rows.norm(dim=1), torch.ones(20))
    assert list(bank.state_dict()) == ["rows"]
    assert torch.equal(bank.rows, MemoryBank(20, 8, Generator().manual_seed(0)).rows)
    assert not list(bank.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
def test_an_update_moves_the_rows_of_the_batch_by_the_momentum_and_no_other(bank: MemoryBank, momentum: float) -> None:
    before, index = bank.rows.clone(), torch.tensor([3, 17, 4])
    features = functional.normalize(torch.randn(3, 8, generator=Generator().manual_seed(1)), dim=1)
    bank.update(index, features, momentum)
    expected = before.clone()
    for row, feature in zip(index.tolist(), features, strict=True):
        moved = momentum * before[row] + (1 - momentum) * feature
        expected[row] = moved / moved.norm()
    torch.testing.assert_close(bank.rows, expected)


def test_a_momentum_outside_the_unit_interval_is_refused(bank: MemoryBank) -> None:
    with pytest.raises(ValueError, match=r"momentum is 1.1"):
        bank.update(torch.tensor([0]), bank.rows[:1], 1.1)


def test_negatives_are_uniform_rows_and_all_of_them_where_as_many_are_asked_for(bank: MemoryBank) -> None:
    drawn = torch.cat([bank.negatives(10, Generator().manual_seed(seed)) for seed in range(400)])
    counts = drawn.bincount(minlength=20)  # expected 200, deviation 14
    assert len(counts) == 20
    assert (counts - 200).abs().max() < 70
    assert bank.negatives(20, Generator()).tolist() == list(range(20))


def test_logits_are_cosines_over_temperature_without_the_own_row(bank: MemoryBank) -> None:
    query = functional.normalize(torch.randn(3, 8, generator=Generator().manual_seed(1)), dim=1)
    index, negatives = torch.tensor([5, 0, 9]), torch.tensor([5, 7, 9, 5])
    positive, negative = bank.logits(query, index, negatives, 0.1)
    for i in range(3):
        assert float(positive[i]) == pytest.approx(float(query[i] @ bank.rows[index[i]]) / 0.1, rel=1e-4)
        for j in range(4):
            own = index[i] == negatives[j]
            expected: Tensor | float = EXCLUDED if own else float(query[i] @ bank.rows[negatives[j]]) / 0.1
            assert float(negative[i, j]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
