"""Particles: samples that move as an energy is learnt, and what they looked like on the way.

Letters: P particles, D numbers of a vector, T times at which they are kept to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Generator, Tensor, nn

from ssl_models.figures import TEXT, figure, pixels
from ssl_models.partition import Extent, extent_of, grid

TIMES = 8
"""T: the first after the first step, the last at the end, the others at even shares of the training."""
ACROSS = 4
"""Panels in a row."""
PIXELS = 14
"""Small pictures in a row a time."""
WIDE = 3.0
"""Deviations of the data around their mean that are shown."""
POINTS, FLOOR = 64, -6.0
"""Cells each way of the energy behind particles, and nats below its lowest energy that are drawn darkest."""
CAPTION = 0.3
"""Inches below the panels."""
MEANING = "Dots: samples at that share of the training. Colours: the energy at its end, lowest in yellow."


class Particles(nn.Module):
    """All state is in buffers of fixed size: `now` (P, D), `seen` (T, P, D), `shares` (T,), `counts` (T,).

    shares: of the training that was done at each time, 0 before it. counts: how many rows of `seen` a chain ended in;
    the others have not moved, as there were fewer chains than P.
    """

    def __init__(self, start: Tensor) -> None:
        """start: (P, D), where they begin."""
        super().__init__()
        self.now: Tensor
        self.seen: Tensor
        self.shares: Tensor
        self.counts: Tensor
        self.register_buffer("now", start.clone())
        self.register_buffer("seen", torch.zeros(TIMES, *start.shape))
        self.register_buffer("shares", torch.zeros(TIMES))
        self.register_buffer("counts", torch.zeros(TIMES, dtype=torch.int64))

    @torch.no_grad()
    def move(self, ahead: Tensor, progress: float) -> None:
        """Takes over where they are now, (B, D), and keeps it where it is time to. progress: of the training, (0, 1].

        Of more than P rows the first P are taken; of fewer, the others stay where they were.
        """
        count = min(len(ahead), len(self.now))
        self.now[:count] = ahead[:count]
        place = int(progress * (TIMES - 1))
        if self.shares[place] == 0:
            self.seen[place] = self.now
            self.shares[place], self.counts[place] = progress, count


def starting(known: Mapping[str, Any], count: int, visible: int, binary: bool) -> Tensor:
    """(count, visible): even draws of 0 and 1, or a Gaussian of the data's mean and deviation; always the same ones."""
    generator = Generator().manual_seed(0)
    if binary:
        return (torch.rand(count, visible, generator=generator) < 0.5).float()
    mean, deviation = (torch.tensor(known.get(name, [value] * visible)) for name, value in NORMAL)
    return mean + deviation * torch.randn(count, visible, generator=generator)


NORMAL = (("mean", 0.0), ("deviation", 1.0))
"""What is taken for the data's where a reader does not tell it."""


def drawn(particles: Particles, known: Mapping[str, Any], energy: Callable[[Tensor], Tensor]) -> ndarray | None:
    """(H, W, 3) uint8: the chains' ends at each time; None where they cannot be drawn, or there are none.

    Two real numbers: points over the energy as it is at the end, a panel a time. 0 and 1 of a known grid: a row of
    small pictures a time.
    """
    seen = _kept(particles)
    extent = extent_of(known)
    if not seen:
        return None
    if known.get("binary") and "grid" in known:
        return _pictured([(title, rows.reshape(len(rows), *known["grid"])) for title, rows in seen])
    if not known.get("binary") and extent is not None and len(extent) == 2:
        window = tuple(_near(known, number, pair) for number, pair in enumerate(extent))
        return _scattered(seen, window, _depths(energy, window, particles.now.device))
    return None


def _near(known: Mapping[str, Any], number: int, pair: tuple[float, float]) -> tuple[float, float]:
    """What of the extent of a number is shown: WIDE deviations of the data around their mean."""
    mean, deviation = (known[name][number] if name in known else value for name, value in NORMAL)
    return max(pair[0], mean - WIDE * deviation), min(pair[1], mean + WIDE * deviation)


def _kept(particles: Particles) -> list[tuple[str, ndarray]]:
    """When, in words, and the rows (count, D) that chains ended in, of each time that has come."""
    shares, counts = particles.shares.tolist(), particles.counts.tolist()
    return [
        (f"{100 * share:.0f} %" if place else "1st step", particles.seen[place, :count].cpu().numpy())
        for place, (share, count) in enumerate(zip(shares, counts, strict=True))
        if share > 0
    ]


@torch.no_grad()
def _depths(energy: Callable[[Tensor], Tensor], extent: Extent, device: torch.device) -> ndarray:
    """(POINTS, POINTS) [second][first]: nats by which the energy is above its lowest, times -1, down to FLOOR."""
    depths = -energy(grid(extent, POINTS, device)[0])
    shown: ndarray = (depths - depths.max()).clamp(min=FLOOR).view(POINTS, POINTS).T.cpu().numpy()
    return shown


def _scattered(seen: list[tuple[str, ndarray]], extent: Extent, depths: ndarray) -> ndarray:
    rows = -(-len(seen) // ACROSS)
    found = figure(2.3 * ACROSS, 2.5 * rows + CAPTION)
    edges = (*extent[0], *extent[1])
    for number, (title, points) in enumerate(seen, start=1):
        axes = found.add_subplot(rows, ACROSS, number)
        axes.imshow(depths, origin="lower", extent=edges, cmap="cividis", vmin=FLOOR, vmax=0, aspect="auto")
        axes.scatter(points[:, 0], points[:, 1], s=5, c="white", edgecolors="black", linewidths=0.4)
        axes.set(xlim=extent[0], ylim=extent[1], xticks=[], yticks=[])
        axes.set_title(title, fontsize=TEXT)
    found.text(0.5, 0.01, MEANING, ha="center", va="bottom", fontsize=TEXT)
    found.tight_layout(pad=0.5, rect=(0, CAPTION / (2.5 * rows + CAPTION), 1, 1))
    return pixels(found)


def _pictured(seen: list[tuple[str, ndarray]]) -> ndarray:
    found = figure(9.2, 0.72 * len(seen))
    for row, (title, pictures) in enumerate(seen):
        shown = pictures[:PIXELS]
        line = np.concatenate(np.pad(shown, ((0, 0), (0, 0), (0, 1)), constant_values=0.5), axis=1)
        axes = found.add_axes((0.11, 1 - (row + 0.93) / len(seen), 0.88, 0.86 / len(seen)))
        axes.imshow(line[:, :-1], cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        axes.set_anchor("W")
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=TEXT)
    return pixels(found)
