"""Work on many things at once, each of which gives pieces; they come in the order of the things, few bytes ahead."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import Generic, TypeVar

from ssl_models.cores import cores

AHEAD = 8
"""Things a worker that may be begun before their turn."""

Item = TypeVar("Item")
Piece = TypeVar("Piece")


def in_pieces(
    work: Callable[[Item], Iterable[Piece]],
    items: Iterable[Item],
    size: Callable[[Piece], int],
    most: int,
    workers: int = 0,
    ahead: int = AHEAD,
) -> Generator[tuple[Item, Iterator[Piece]]]:
    """Each item, and the pieces of work(item), which are to be taken before the next item; by so many threads.

    workers: 0 for one a core. ahead: items a worker that may be begun before their turn. size: bytes of a piece. most:
    bytes that may wait. Beyond them each worker holds one piece, and the item whose turn it is another.
    An error that `work` raises comes in its turn. What has not been started when the iterator is closed never is.
    """
    workers = workers or cores()
    waiting: _Waiting[Piece] = _Waiting(size, most)
    pending: deque[tuple[Item, int, Future[None]]] = deque()

    def turn() -> tuple[Item, Iterator[Piece]]:
        item, number, future = pending.popleft()
        return item, waiting.of(number, future)

    with ThreadPoolExecutor(workers) as pool:
        try:
            for number, item in enumerate(items):
                future = pool.submit(waiting.fill, number, work, item)
                future.add_done_callback(waiting.wake)
                pending.append((item, number, future))
                if len(pending) > ahead * workers:
                    yield turn()
            while pending:
                yield turn()
        finally:
            waiting.close()
            for *_, future in pending:
                future.cancel()


class _Waiting(Generic[Piece]):
    """The pieces that wait for their turn. That of the first item may always wait, so all get on."""

    def __init__(self, size: Callable[[Piece], int], most: int) -> None:
        self._size, self._most = size, most
        self._pieces: defaultdict[int, deque[Piece]] = defaultdict(deque)
        self._changed = Condition()
        self._held = self._first = 0
        self._closed = False

    def fill(self, number: int, work: Callable[[Item], Iterable[Piece]], item: Item) -> None:
        """Does the work of one item; returns early once this is closed."""
        for piece in work(item):
            size = self._size(piece)
            with self._changed:
                while not (self._closed or self._may_wait(number, size)):
                    self._changed.wait()
                if self._closed:
                    return
                self._pieces[number].append(piece)
                self._held += size
                self._changed.notify_all()

    def of(self, number: int, future: Future[None]) -> Iterator[Piece]:
        """The pieces of an item whose turn it is. Raises what its work does."""
        while True:
            with self._changed:
                self._first = number
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._pieces[number]) or future.done())
                if not self._pieces[number]:
                    del self._pieces[number]
                    break
                piece = self._pieces[number].popleft()
                self._held -= self._size(piece)
                self._changed.notify_all()
            yield piece
        future.result()

    def wake(self, _: Future[None]) -> None:
        """To be called when an item is done."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """No piece is taken any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _may_wait(self, number: int, size: int) -> bool:
        return self._held + size <= self._most or (number == self._first and not self._pieces[number])
