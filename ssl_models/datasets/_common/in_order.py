"""Work on many things at once, whose results come in the order of the things; only few are ahead of their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ssl_models.cores import cores

AHEAD = 8
"""Results a worker that may wait for an earlier one: a slow picture holds up none of the others for long."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int = 0, ahead: int = AHEAD
) -> Generator[Result]:
    """work(item) of each item, by so many threads; 0 for one a core. ahead: less than AHEAD for results that are large.

    An error that `work` raises comes in its turn. What has not been started when the iterator is closed never is.
    """
    workers = workers or cores()
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > ahead * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
