"""The memory bank: unit rows, moved one batch at a time, and negatives that are never the sample itself.

The queue: the newest keys, the oldest of which are replaced first.
"""

from __future__ import annotations

from collections import deque

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.memory import EXCLUDED, MemoryBank, Queue

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


def keys(count: int, seed: int = 0, dim: int = 8) -> Tensor:
    return functional.normalize(torch.randn(count, dim, generator=Generator().manual_seed(seed)), dim=1)


def test_a_queue_is_full_of_random_unit_vectors_from_the_start() -> None:
    queue = Queue(7, 8, Generator().manual_seed(0))
    assert queue.rows.shape == (7, 8)
    torch.testing.assert_close(queue.rows.norm(dim=1), torch.ones(7))
    assert torch.equal(queue.rows, Queue(7, 8, Generator().manual_seed(0)).rows)
    assert list(queue.state_dict()) == ["rows", "pointer"]
    assert not list(queue.parameters())


def test_a_push_goes_round_the_end_by_hand() -> None:
    queue = Queue(5, 2, Generator().manual_seed(0))
    queue.push(torch.tensor([[1.0, 0], [2, 0], [3, 0]]))
    assert queue.rows[:3, 0].tolist() == [1, 2, 3]
    queue.push(torch.tensor([[4.0, 0], [5, 0], [6, 0]]))
    assert queue.rows[:, 0].tolist() == [6, 2, 3, 4, 5]
    assert int(queue.pointer) == 1
    queue.push(torch.tensor([[7.0, 0], [8, 0]]))
    assert queue.rows[:, 0].tolist() == [6, 7, 8, 4, 5]


@pytest.mark.parametrize("batches", [[3, 3, 3, 3, 3], [7, 7], [1] * 9, [2, 7, 5, 1, 6], [20], [4, 9, 3]])
def test_a_queue_holds_the_newest_keys_whatever_the_batches(batches: list[int]) -> None:
    queue = Queue(7, 8, Generator().manual_seed(0))
    newest = deque(queue.rows.clone(), maxlen=7)
    for step, batch in enumerate(batches):
        queue.push(keys(batch, step + 1))
        newest.extend(keys(batch, step + 1))
        oldest_first = queue.rows.roll(-int(queue.pointer), 0)
        assert {tuple(row.tolist()) for row in queue.rows} == {tuple(row.tolist()) for row in newest}
        if max(batches) <= 7:
            assert torch.equal(oldest_first, torch.stack(list(newest)))


def test_a_queue_holds_no_gradient() -> None:
    queue, pushed = Queue(5, 8, Generator().manual_seed(0)), keys(3).requires_grad_()
    queue.push(pushed * 2)
    assert not queue.rows.requires_grad
    assert torch.equal(queue.rows[:3], (pushed * 2).detach())


def test_a_queue_that_was_saved_is_pushed_on_where_it_was() -> None:
    first, second = Queue(5, 8, Generator().manual_seed(0)), Queue(5, 8, Generator().manual_seed(1))
    first.push(keys(3, 1))
    second.load_state_dict(first.state_dict())
    for queue in (first, second):
        queue.push(keys(4, 2))
    assert torch.equal(first.rows, second.rows)
    assert torch.equal(first.pointer, second.pointer)


def test_a_queue_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="size is 0"):
        Queue(0, 8)
