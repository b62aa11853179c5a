"""The scenes of a clip's frames: what its motions and its camera do to the scene that was drawn.

The object shares out the free room around it between camera, hop, slide and its place, in this order, so that it stays
in the frame whatever it does. Room and shares do not depend on the action.

Legend: B clips, T frames, W waves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ssl_models.datasets._world.scene import FACTORS, Scene
from ssl_models.datasets._world_video.motion import GROWTH, HOP, PAN, SLIDE, SPIN, SQUASH, SWAY, Motions, wave

SIZE, DEFORMATION = 0.6, 0.5
"""Objects are smaller than those of world.py and less deformed, or there would be no room to move in."""


def frames_of(scene: Scene, motions: Motions) -> Scene:
    """B scenes, one a clip -> B * T scenes, the frames of each clip one after the other."""
    own = {name: values.double() for name, values in scene.factors.items()}
    own |= {"size": SIZE * own["size"], "stretch": DEFORMATION * own["stretch"], "bend": DEFORMATION * own["bend"]}
    pan, places = _places(own, motions)
    speed = motions.factors["speed"][:, None]
    turn = 1 - 2 * (motions.draws["spin_direction"] < 0.5).double()[:, None]
    away = motions.clocks["spin"] - 0.5
    changed = places | {
        "orientation": own["orientation"][:, None]
        + speed * (SPIN * turn * away + SWAY * torch.sin(2 * math.pi * wave(motions, "sway"))),
        "size": own["size"][:, None] * torch.exp(speed * GROWTH * (motions.clocks["growth"] - 0.5)),
        "stretch": own["stretch"][:, None] + speed * SQUASH * torch.sin(2 * math.pi * wave(motions, "squash")),
        "bend": own["bend"][:, None].expand_as(away),
    }
    count = away.shape[1]
    repeated = scene[torch.arange(len(scene)).repeat_interleave(count)]
    repeated = repeated.moved(**{name: values.flatten().float() for name, values in changed.items()})
    return panned(repeated, *(values.flatten() for values in pan))


def room(factors: Mapping[str, Tensor], speed: Tensor) -> Tensor:
    """(B,): how far the object's centre may be from the frame's, of the frame's side, whatever the action does.

    The circle around the object (radius 1) is at its widest when it has grown and is squashed to the end; bending adds
    a third of the bend.
    """
    largest = factors["size"] / 2 * torch.exp(speed * GROWTH / 2)
    stretched = torch.exp((factors["stretch"].abs() + speed * SQUASH) / 2)
    return 0.5 - largest * stretched * (1 + factors["bend"].abs() / 3)


def _places(factors: Mapping[str, Tensor], motions: Motions) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The pan along x and y, each (B, T), and the object's position_x and position_y (B, T) with the pan in them."""
    speed = motions.factors["speed"]
    free = room(factors, speed)
    heading, pointing = (2 * math.pi * motions.draws[f"{name}_direction"] for name in ("slide", "camera"))
    phase = torch.remainder(wave(motions, "hop"), 1)
    height = 4 * phase * (1 - phase) - 0.5  # of a ball that is thrown again and again, from the middle of its way
    along = 2 * motions.clocks["slide"] - 1
    passed = torch.linspace(-1, 1, along.shape[1], dtype=torch.float64)
    pan, places = [], {}
    for name, slide, camera, hops in (
        ("position_x", heading.cos(), pointing.cos(), 0),
        ("position_y", heading.sin(), pointing.sin(), 1),
    ):
        share = PAN * motions.factors["camera"] * camera * free
        left = free - share.abs()
        hop = hops * HOP * speed * left
        left = left - hop / 2
        half = SLIDE * speed * slide * left
        reach = FACTORS[name].reach
        place = factors[name] / reach * (left - half.abs()).clamp(max=reach)
        pan.append(share[:, None] * passed)
        places[name] = place[:, None] + half[:, None] * along - hop[:, None] * height + pan[-1]
    return pan, places


def panned(scene: Scene, right: Tensor, down: Tensor) -> Scene:
    """The scenes with their backgrounds moved by (B,) shares of the frame's side; objects stay where they are.

    Waves and blobs move. A moved gradient is the same gradient on another brightness of all three colours alike.
    """
    waves, blobs = scene.waves.double(), scene.blobs.double()
    angle = 2 * math.pi * waves[..., 0]
    along = angle.cos() * right[:, None] + angle.sin() * down[:, None]  # (B, W)
    waves[..., 2] -= (2 + 6 * waves[..., 1]) * along  # periods across the frame, as render.py has them
    blobs[..., 0] += right[:, None]
    blobs[..., 1] += down[:, None]
    factors = {name: values.double() for name, values in scene.factors.items()}
    bearing = factors["gradient_direction"]
    rise = -factors["gradient"] * (bearing.cos() * right - bearing.sin() * down)
    brightness = factors["background_brightness"] + rise
    saturation = factors["background_saturation"] * factors["background_brightness"] / brightness
    moved = scene.moved(background_brightness=brightness.float(), background_saturation=saturation.float())
    return replace(moved, waves=waves.float(), blobs=blobs.float())
