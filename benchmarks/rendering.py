"""How fast the embedded world is rendered."""

from __future__ import annotations

from benchmarks.measuring import Effort, compare, rate_of, threads
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from ssl_models.datasets import world

SAMPLES = 1024
HOW = f"`world.load` of {SAMPLES:,} pictures of 32 px with all factors and default dials, on the CPU"


def measure(effort: Effort, page: Page) -> None:
    """Adds a row for two threads, beside one, and a row for one, which is what a stage has by default."""

    def load(rounds: int) -> None:
        for seed in range(rounds):
            world.load(seed=seed, train=SAMPLES - 1, test=1, size=32)

    def on(count: int) -> float:
        with threads(count):
            return rate()

    with threads(1):
        rate = rate_of(load, SAMPLES, effort.seconds)
    two, one, ratio = compare(lambda: on(2), lambda: on(1), effort.pairs)
    target = Target("≥", 2000, ratio=False)
    page.add(Row("rendering, 2 threads", "images/s", two, f"{HOW}.", target, "one thread", one, ratio))
    page.add(Row("rendering, 1 thread", "images/s", one, f"{HOW}, in the same pairs.", target))
