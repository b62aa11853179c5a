"""The twelve objects of the world: signed-distance parts, turned into relief maps that the renderer samples.

A signed distance is negative inside, positive outside (Quilez, "2D distance functions"). Object coordinates: x to the
right, y DOWN as pixel rows go; after `_normalised` the smallest circle around the object is the unit circle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[float, float]

RESOLUTION = 128
REACH = 1.15
"""A relief map spans [-REACH, REACH] in object coordinates, so that the distance is known some way outside."""
CHANNELS = ("distance", "normal_x", "normal_y", "normal_z", "tone", "height")
BULGE = 0.26
HIGHEST = 0.44
"""BULGE and the greatest lift, which no height exceeds."""


@dataclass(frozen=True)
class Solid:
    """Parts as (distance map, lift above the rest); holes go through; dents are pressed in and darker."""

    parts: tuple[tuple[Tensor, float], ...]
    holes: tuple[Tensor, ...] = ()
    dents: tuple[Tensor, ...] = ()


class Plane:
    """Points (H, W) to measure distances from; every method gives a (H, W) signed distance."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def ellipse(self, center: Pair, radii: Pair) -> Tensor:
        """Exact for a disc, a lower bound's neighbour elsewhere: scaled by the smaller radius."""
        x, y = (self.x - center[0]) / radii[0], (self.y - center[1]) / radii[1]
        return (torch.sqrt(x * x + y * y) - 1) * min(radii)

    def disc(self, center: Pair, radius: float) -> Tensor:
        return self.ellipse(center, (radius, radius))

    def ring(self, center: Pair, radius: float, thickness: float) -> Tensor:
        return self.disc(center, radius).abs() - thickness

    def bar(self, start: Pair, end: Pair, radius: float) -> Tensor:
        """A segment with round ends."""
        along_x, along_y = end[0] - start[0], end[1] - start[1]
        x, y = self.x - start[0], self.y - start[1]
        share = ((x * along_x + y * along_y) / (along_x**2 + along_y**2)).clamp(0, 1)
        return torch.hypot(x - share * along_x, y - share * along_y) - radius

    def polygon(self, *corners: Pair, rounding: float = 0.03) -> Tensor:
        """Exact distance to a simple polygon, grown by `rounding`, which also rounds its corners."""
        nearest = torch.full_like(self.x, torch.inf)
        inside = torch.zeros_like(self.x, dtype=torch.bool)
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            nearest = torch.minimum(nearest, self.bar(start, end, 0.0))
            crosses = (start[1] > self.y) != (end[1] > self.y)
            slope = (end[0] - start[0]) / (end[1] - start[1]) if end[1] != start[1] else 0.0
            inside ^= crosses & (self.x < start[0] + slope * (self.y - start[1]))
        return torch.where(inside, -nearest, nearest) - rounding

    def box(self, left: float, top: float, right: float, bottom: float, rounding: float = 0.04) -> Tensor:
        """A rectangle that ends at the given sides, its corners rounded."""
        return self.polygon(
            (left + rounding, top + rounding),
            (right - rounding, top + rounding),
            (right - rounding, bottom - rounding),
            (left + rounding, bottom - rounding),
            rounding=rounding,
        )


def arrow(plane: Plane) -> Solid:
    shaft = torch.minimum(plane.box(-0.8, -0.5, -0.46, 0.9), plane.box(-0.8, -0.5, 0.3, -0.16))
    head = plane.polygon((0.2, -0.88), (0.9, -0.33), (0.2, 0.22))
    return Solid(((shaft, 0.0), (head, 0.05)))


def bird(plane: Plane) -> Solid:
    body = plane.ellipse((0.05, 0.1), (0.6, 0.4))
    head = plane.disc((-0.5, -0.42), 0.27)
    beak = plane.polygon((-0.7, -0.5), (-1.02, -0.33), (-0.68, -0.28))
    tail = plane.polygon((0.4, -0.02), (1.0, -0.42), (0.98, -0.12), (0.5, 0.28))
    wing = plane.ellipse((0.18, 0.06), (0.34, 0.2))
    legs = torch.minimum(plane.bar((-0.08, 0.4), (-0.14, 0.85), 0.05), plane.bar((0.2, 0.4), (0.18, 0.85), 0.05))
    neck = plane.bar((-0.45, -0.35), (-0.2, 0.0), 0.2)
    eye = plane.disc((-0.55, -0.47), 0.075)
    parts = ((legs, 0.0), (beak, 0.0), (tail, 0.0), (neck, 0.02), (body, 0.05), (head, 0.05), (wing, 0.14))
    return Solid(parts, dents=(eye,))


def boot(plane: Plane) -> Solid:
    leg = plane.polygon((-0.5, -0.85), (0.08, -0.85), (0.12, 0.3), (-0.5, 0.5))
    foot = plane.polygon((-0.5, 0.2), (0.12, 0.12), (0.55, 0.25), (0.72, 0.42), (0.7, 0.55), (-0.5, 0.55), rounding=0.1)
    cuff = plane.box(-0.62, -0.98, 0.2, -0.68)
    sole = plane.box(-0.62, 0.62, 0.86, 0.78)
    heel = plane.box(-0.62, 0.62, -0.2, 0.95)
    return Solid(((leg, 0.0), (foot, 0.04), (cuff, 0.1), (sole, 0.0), (heel, 0.0)))


def cup(plane: Plane) -> Solid:
    body = plane.polygon((-0.74, -0.55), (0.44, -0.55), (0.16, 0.72), (-0.46, 0.72), rounding=0.06)
    handle = plane.ring((0.45, -0.14), 0.34, 0.095)
    rim = plane.ellipse((-0.15, -0.56), (0.67, 0.18))
    mouth = plane.ellipse((-0.15, -0.56), (0.5, 0.09))
    return Solid(((handle, 0.0), (body, 0.08), (rim, 0.12)), dents=(mouth,))


def fish(plane: Plane) -> Solid:
    body = plane.ellipse((-0.2, 0.0), (0.72, 0.42))
    tail = plane.polygon((0.3, 0.0), (1.0, -0.55), (0.8, 0.0), (0.92, 0.42))
    dorsal = plane.polygon((-0.5, -0.25), (0.22, -0.78), (0.32, -0.15))
    fin = plane.ellipse((0.0, 0.14), (0.24, 0.1))
    eye = plane.disc((-0.6, -0.1), 0.085)
    return Solid(((tail, 0.0), (dorsal, 0.0), (body, 0.05), (fin, 0.12)), dents=(eye,))


def hammer(plane: Plane) -> Solid:
    handle = plane.bar((0.0, -0.5), (0.0, 0.88), 0.13)
    head = plane.box(-0.25, -0.85, 0.3, -0.42)
    face = plane.box(0.22, -0.92, 0.6, -0.35)
    claw = plane.polygon((-0.2, -0.8), (-0.5, -0.76), (-0.78, -0.42), (-0.5, -0.5), (-0.2, -0.48))
    return Solid(((handle, 0.0), (head, 0.06), (claw, 0.02), (face, 0.1)))


def house(plane: Plane) -> Solid:
    walls = plane.box(-0.62, -0.15, 0.62, 0.8)
    roof = plane.polygon((-0.82, -0.12), (0.0, -0.85), (0.82, -0.12), rounding=0.05)
    chimney = plane.box(0.32, -0.85, 0.56, -0.3)
    door = plane.box(0.08, 0.25, 0.4, 0.8)
    window = plane.box(-0.45, 0.12, -0.1, 0.42)
    return Solid(((chimney, 0.0), (walls, 0.0), (roof, 0.1)), dents=(door, window))


def key(plane: Plane) -> Solid:
    bow = plane.ring((-0.55, 0.0), 0.28, 0.13)
    shaft = plane.bar((-0.25, 0.0), (0.85, 0.0), 0.11)
    tooth = plane.box(0.68, 0.0, 0.9, 0.45)
    second = plane.box(0.34, 0.0, 0.54, 0.34)
    return Solid(((shaft, 0.0), (bow, 0.04), (tooth, 0.0), (second, 0.0)))


def letter(plane: Plane) -> Solid:
    stem = plane.bar((-0.45, -0.75), (-0.45, 0.75), 0.15)
    bowl = torch.maximum(plane.ring((0.0, -0.36), 0.39, 0.14), -0.05 - plane.x)
    top = plane.bar((-0.45, -0.75), (0.0, -0.75), 0.14)
    middle = plane.bar((-0.45, 0.03), (0.0, 0.03), 0.14)
    leg = plane.bar((-0.05, 0.05), (0.42, 0.75), 0.15)
    return Solid(((stem, 0.0), (bowl, 0.0), (top, 0.0), (middle, 0.0), (leg, 0.0)))


def snail(plane: Plane) -> Solid:
    shell = plane.disc((0.2, -0.12), 0.52)
    foot = plane.bar((-0.6, 0.5), (0.85, 0.52), 0.13)
    neck = plane.bar((-0.55, 0.45), (-0.74, -0.12), 0.15)
    horns = torch.minimum(
        plane.bar((-0.78, -0.15), (-0.98, -0.5), 0.05), plane.bar((-0.7, -0.15), (-0.62, -0.52), 0.05)
    )
    x, y = plane.x - 0.2, plane.y + 0.12
    radius, turns = torch.hypot(x, y), torch.atan2(y, x) / (2 * torch.pi)
    spiral = (torch.remainder(radius / 0.2 - turns, 1) - 0.5).abs() * 0.2 - 0.03
    groove = torch.maximum(spiral, radius - 0.42)
    return Solid(((horns, 0.0), (foot, 0.0), (neck, 0.0), (shell, 0.1)), dents=(groove,))


def tree(plane: Plane) -> Solid:
    trunk = plane.box(-0.13, 0.5, 0.13, 0.98)
    low = plane.polygon((-0.68, 0.55), (0.0, -0.15), (0.68, 0.55))
    middle = plane.polygon((-0.54, 0.12), (0.0, -0.5), (0.54, 0.12))
    high = plane.polygon((-0.4, -0.3), (0.0, -0.95), (0.4, -0.3))
    return Solid(((trunk, 0.0), (low, 0.02), (middle, 0.1), (high, 0.18)))


def umbrella(plane: Plane) -> Solid:
    dome = torch.maximum(plane.disc((0.0, -0.05), 0.85), plane.y + 0.05)
    for center in (-0.57, 0.0, 0.57):
        dome = torch.maximum(dome, -plane.ellipse((center, -0.02), (0.26, 0.16)))
    shaft = plane.bar((0.0, -0.1), (0.0, 0.7), 0.07)
    hook = torch.maximum(plane.ring((-0.2, 0.7), 0.2, 0.07), 0.7 - plane.y)
    tip = plane.bar((0.0, -0.85), (0.0, -1.0), 0.05)
    return Solid(((tip, 0.0), (shaft, 0.0), (hook, 0.0), (dome, 0.05)))


OBJECTS: tuple[Callable[[Plane], Solid], ...] = (
    arrow,
    bird,
    boot,
    cup,
    fish,
    hammer,
    house,
    key,
    letter,
    snail,
    tree,
    umbrella,
)
CLASSES = tuple(shape.__name__ for shape in OBJECTS)


@cache
def relief_maps() -> Tensor:
    """(channels, classes * RESOLUTION, RESOLUTION) float32: CHANNELS of every object, measured once and kept.

    The maps of the classes lie one below the other, so that one look-up serves pictures of any class.
    """
    return torch.cat([_relief(_normalised(shape)) for shape in OBJECTS], 1)


def _silhouette(solid: Solid) -> Tensor:
    outline = torch.stack([distance for distance, _ in solid.parts]).amin(0)
    for hole in solid.holes:
        outline = torch.maximum(outline, -hole)
    return outline


def _square(resolution: int, reach: float) -> tuple[Tensor, Tensor]:
    """x and y (H, W) at the pixel centres of [-reach, reach] squared."""
    line = ((torch.arange(resolution) + 0.5) / resolution * 2 - 1) * reach
    return line.expand(resolution, -1), line[:, None].expand(-1, resolution)


def _normalised(shape: Callable[[Plane], Solid]) -> Solid:
    """The object measured on a plane where the smallest circle around it has centre 0 and radius 1; distances too."""
    x, y = _square(2 * RESOLUTION, 1.3)
    outline = _silhouette(shape(Plane(x, y)))
    edge = (outline < 0) & (outline > -0.03)
    points = torch.stack([x[edge], y[edge]], 1)
    center = points.mean(0)
    for step in range(1, 400):  # Badoiu and Clarkson 2003: walk to the farthest point by ever smaller steps
        farthest = points[(points - center).square().sum(1).argmax()]
        center = center + (farthest - center) / (step + 1)
    radius = (points - center).square().sum(1).max().sqrt()
    x, y = _square(RESOLUTION, REACH)
    solid = shape(Plane(x * radius + center[0], y * radius + center[1]))
    return Solid(
        tuple((distance / radius, lift) for distance, lift in solid.parts),
        tuple(hole / radius for hole in solid.holes),
        tuple(dent / radius for dent in solid.dents),
    )


def _relief(solid: Solid) -> Tensor:
    """(channels, H, W) of one object: parts are inflated like cushions, laid over each other, and dented."""
    outline = _silhouette(solid)
    height = torch.zeros_like(outline)
    for distance, lift in solid.parts:
        depth = (-distance / BULGE).clamp(0, 1)
        rise = (-distance / 0.06).clamp(0, 1)
        height = torch.maximum(height, BULGE * torch.sqrt(depth * (2 - depth)) + lift * rise)
    tone = torch.ones_like(outline)
    for dent in solid.dents:
        pressed = (-dent / 0.04 + 0.5).clamp(0, 1)
        height, tone = height - 0.06 * pressed, tone - 0.55 * pressed
    height = _blurred(height)
    spacing = 2 * REACH / RESOLUTION
    slope_y, slope_x = torch.gradient(height, spacing=spacing)
    length = torch.sqrt(1 + slope_x**2 + slope_y**2)
    return torch.stack([outline, -slope_x / length, -slope_y / length, 1 / length, tone, height])


def _blurred(height: Tensor, times: int = 3) -> Tensor:
    """Repeated 5x5 means: removes the creases along the medial axis, which would flicker at small sizes."""
    blurred = height[None, None]
    for _ in range(times):
        blurred = functional.avg_pool2d(functional.pad(blurred, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return blurred[0, 0]
