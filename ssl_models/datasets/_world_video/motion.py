"""What an object does in a clip: six motions, of which at most one runs, while the others stand still.

A clip draws all six motions, whatever its action, and its action says which of them runs from start to end. Those that
do not run have stopped at a random time of theirs. So a frame at a random time of a clip has the same distribution of
place, angle, size and stretch for every action: only change over time tells the action.

Legend: B clips, T frames. Times and paths are computed in float64, and do not depend on how many clips there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ssl_models.datasets._world.scene import DIALS as WORLD_DIALS
from ssl_models.datasets._world.scene import Factor, Kind, uniform
from ssl_models.datasets._world.shapes import CLASSES

MOTIONS = ("slide", "hop", "sway", "spin", "growth", "squash")
RUNS: dict[str, str | None] = {
    "slide": "slide",
    "hop": "hop",
    "sway": "sway",
    "spin": "spin",
    "grow": "growth",
    "shrink": "growth",
    "squash": "squash",
    "still": None,
}
"""Action -> the motion that runs; in shrink it runs backwards."""
ACTIONS = tuple(RUNS)
FEWEST_FRAMES = 5
"""With fewer, a period of a hop would have less than three frames."""

FACTORS: dict[str, Factor] = {
    "speed": Factor("speed", kind=Kind.AMOUNT),
    "camera": Factor("camera", kind=Kind.AMOUNT),
}
"""speed: how far motions go, of the farthest; at least SLOWEST of the dial, so that every action is seen. camera: how
far the whole picture is panned, of the farthest."""
DIALS: dict[str, float] = {**WORLD_DIALS, "speed": 1.0, "camera": 0.0}
SLOWEST = 0.6

SLIDE, HOP, PAN = 0.9, 0.9, 0.4
"""Most of the free room (see path.room) that a motion takes: on each side for slide and camera, in all for hop."""
SWAY, SPIN = math.radians(20), math.radians(90)
"""The largest angle on either side of the middle, and the largest turn from start to end."""
GROWTH = 0.4
"""The largest logarithm of size at the end to size at the start."""
SQUASH = 0.25
"""The largest change of stretch (see scene.FACTORS) on either side of the middle."""
PERIODS = (0.8, 1.2)
"""Periods of hop, sway and squash in a clip, at least and at most."""
DRAWS = (
    *("slide_direction", "spin_direction", "camera_direction"),
    *(f"{motion}_{what}" for motion in ("hop", "sway", "squash") for what in ("phase", "periods")),
)


@dataclass(frozen=True)
class Motions:
    """What happens in B clips. actions: (B,) int64, of ACTIONS.

    factors: FACTORS -> (B,) float64. clocks: MOTIONS -> (B, T) float64, the share of a motion that has passed, 0 at its
    start and 1 at its end. draws: DRAWS -> (B,) float64 in [0, 1), directions, phases and periods.
    """

    actions: Tensor
    factors: Mapping[str, Tensor]
    clocks: Mapping[str, Tensor]
    draws: Mapping[str, Tensor]

    def moved(self, **values: Tensor | float) -> Motions:
        """The same clips with some factors set to (B,) values or one number."""
        if unknown := set(values) - set(self.factors):
            raise ValueError(f"factors {sorted(unknown)} are unknown; choose from {sorted(self.factors)}")
        changed = {name: torch.zeros_like(self.factors[name]) + value for name, value in values.items()}
        return replace(self, factors={**self.factors, **changed})

    def doing(self, action: str) -> Motions:
        """The same clips, whose action is this one; other motions stand where they were stopped, or began."""
        frames = next(iter(self.clocks.values())).shape[1]
        actions = torch.full_like(self.actions, ACTIONS.index(action))
        stopped = {name: clock[:, 0] for name, clock in self.clocks.items()}
        return replace(self, actions=actions, clocks=clocks(actions, frames, stopped))


def sample_motions(labels: Tensor, frames: int, generator: torch.Generator, dials: Mapping[str, float]) -> Motions:
    """The motions of clips whose classes are `labels`; of a longer draw the first are those of a shorter one.

    Where `labels` are those of scene.sample_scene, every 96 in turn hold each action of each class once.
    """
    seed = int(torch.randint(2**32, (), generator=generator))
    samples = len(labels)
    block = torch.arange(samples) // len(CLASSES)
    rounds = -(-samples // (len(CLASSES) * len(ACTIONS)))
    orders = uniform(seed, "action", rounds, len(CLASSES), len(ACTIONS)).argsort(2)
    actions = orders[block // len(ACTIONS), labels, block % len(ACTIONS)]
    shares = {name: uniform(seed, name, samples).double() for name in FACTORS}
    shares["speed"] = SLOWEST + (1 - SLOWEST) * shares["speed"]
    factors = {name: factor.value(shares[name], dials[factor.dial]) for name, factor in FACTORS.items()}
    stopped = {
        name: (uniform(seed, f"{name}_stopped", samples).double() * frames).floor() / (frames - 1) for name in MOTIONS
    }
    draws = {name: uniform(seed, name, samples).double() for name in DRAWS}
    return Motions(actions, factors, clocks(actions, frames, stopped), draws)


def clocks(actions: Tensor, frames: int, stopped: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """MOTIONS -> (B, T): from 0 to 1 where the action runs the motion, else throughout what `stopped` has, (B,)."""
    found = {name: share[:, None].repeat(1, frames) for name, share in stopped.items()}
    running = torch.linspace(0, 1, frames, dtype=torch.float64)
    for number, (action, motion) in enumerate(RUNS.items()):
        if motion is not None:
            found[motion][actions == number] = running.flip(0) if action == "shrink" else running
    return found


def wave(motions: Motions, motion: str) -> Tensor:
    """(B, T): periods of a motion that comes back, since one began."""
    fewest, most = PERIODS
    periods = fewest + (most - fewest) * motions.draws[f"{motion}_periods"]
    return motions.draws[f"{motion}_phase"][:, None] + periods[:, None] * motions.clocks[motion]
