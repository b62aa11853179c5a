"""Work whose results come in pieces: their order, the memory that may wait, and what happens when work fails."""

import threading
import time
from contextlib import closing

import pytest

from ssl_models.datasets._common.in_pieces import in_pieces


def pieces(item):
    """As many as it says, each of ten bytes."""
    for index in range(item):
        yield (item, index)


def ten(_):
    return 10


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("most", [0, 10, 35, 10**9])
@pytest.mark.parametrize("ahead", [1, 8])
def test_pieces_come_in_the_order_of_their_items(workers, most, ahead):
    items = [5, 0, 1, 3, 0, 40, 2, 1]
    found = [(item, list(made)) for item, made in in_pieces(pieces, iter(items), ten, most, workers, ahead)]
    assert found == [(item, list(pieces(item))) for item in items]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_more_is_made_than_may_wait(workers):
    lock, made, taken, held = threading.Lock(), [0], [0], [0]

    def work(item):
        for piece in pieces(item):
            with lock:
                made[0] += 1
                held[0] = max(held[0], made[0] - taken[0])
            yield piece

    for _, found in in_pieces(work, [30] * 6, ten, 50, workers):
        for _ in found:
            time.sleep(0.0005)
            with lock:
                taken[0] += 1
    assert made == taken == [180]
    assert 5 <= held[0] <= 50 // 10 + 1 + workers + 1  # those that wait, the first's, one each in the making, one taken


def test_errors_come_in_their_turn_behind_the_pieces_before_them():
    def work(item):
        yield item
        if item == 2:
            raise ValueError("the third")

    found = []

    def take():
        for _, made in in_pieces(work, range(9), ten, 100, 3):
            found.extend(made)

    with pytest.raises(ValueError, match="the third"):
        take()
    assert found == [0, 1, 2]


def test_what_is_closed_early_ends_and_begins_nothing_more():
    begun, threads = [], threading.active_count()

    def work(item):
        begun.append(item)
        yield from pieces(1000)

    with closing(in_pieces(work, range(100), ten, 20, 2, 4)) as results:
        _, made = next(results)
        assert next(made) == (1000, 0)
    assert len(begun) <= 2
    assert threading.active_count() == threads
