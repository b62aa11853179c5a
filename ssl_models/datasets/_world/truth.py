"""The annotations of a scene, exact by construction: masks, boxes, named points and normals.

They are computed from the relief maps and the pose that the picture itself is rendered from. Legend: B pictures, O
objects in each, S the side of the fine grid, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.datasets._world.render import SUPERSAMPLING, coverage, object_maps
from ssl_models.datasets._world.scene import Scene
from ssl_models.datasets._world.shapes import CHANNELS, CLASSES, REACH, RESOLUTION, relief_maps

POINTS = ("top", "right", "bottom", "left")
"""The ends of the upright object as it is seen; right and left are exchanged where it is mirrored, so that they can be
told apart on a symmetric object too."""

EXCHANGED = [POINTS.index(name) for name in ("top", "left", "bottom", "right")]
SMALLEST_PART = 0.25
"""An object of which less than this share is seen is there, but too well hidden to be asked for: difficult."""


def masks(objects: Sequence[Scene], size: int, *, chunk: int = 32) -> Tensor:
    """(B, size, size) uint8: which object covers most of a pixel, from 1, later ones before earlier; 0 for none."""
    found = torch.zeros(len(objects[0]), size, size, dtype=torch.uint8)
    for start in range(0, len(found), chunk):
        shown = found[start : start + chunk]
        for number, scene in enumerate(objects, 1):
            shown[_covered(scene[start : start + chunk], size)] = number
    return found


def boxes(objects: Sequence[Scene], shown: Tensor) -> Tensor:
    """(M, 7) as Split.truth has them, around what is seen of each object; `shown` are the scenes' masks.

    An object of which nothing is seen has no box. One that others hide for the most part is difficult.
    """
    size = shown.shape[-1]
    alone = [masks([scene], size) for scene in objects] if len(objects) > 1 else [shown]
    whole = [one.flatten(1).count_nonzero(1) for one in alone]
    return boxes_around([scene.labels for scene in objects], shown, whole)


def boxes_around(labels: Sequence[Tensor], shown: Tensor, whole: Sequence[Tensor]) -> Tensor:
    """`boxes` of objects of which are known, (B,) each: the class, and of how many pixels it would be with no other."""
    rows, size = [], shown.shape[-1]
    for number, (label, pixels) in enumerate(zip(labels, whole, strict=True), 1):
        own = shown == number  # (B, H, W)
        seen = own.flatten(1).any(1).nonzero()[:, 0]
        hidden = own.flatten(1).sum(1) < SMALLEST_PART * pixels
        across, down = own.any(1).int(), own.any(2).int()  # (B, W), (B, H)
        left, top = across.argmax(1), down.argmax(1)
        right, bottom = size - across.flip(1).argmax(1), size - down.flip(1).argmax(1)
        table = torch.stack([torch.arange(len(label)), label, left, top, right, bottom, hidden.long()], 1)
        rows.append(table[seen])
    found = torch.cat(rows)
    return found[found[:, 0].argsort(stable=True)].float()


def present(found: Tensor, samples: int, classes: int) -> Tensor:
    """(N, K) int8 from boxes (M, 7): 1 where a class has a box, -1 where it has difficult ones only."""
    table = torch.zeros(samples, classes, dtype=torch.int8)
    sample, label, difficult = found[:, 0].long(), found[:, 1].long(), found[:, 6] > 0
    table[sample[difficult], label[difficult]] = -1
    table[sample[~difficult], label[~difficult]] = 1
    return table


def points(scene: Scene, size: int) -> Tensor:
    """(B, P, 3): POINTS of each object in pixels, and whether they lie in the picture."""
    ideal = _own_points()[scene.labels]  # (B, P, 2)
    ideal = torch.where(scene.factors["mirror"][:, None, None] < 0, ideal[:, EXCHANGED], ideal)
    factors = {name: values[:, None] for name, values in scene.factors.items()}
    # The inverse of render.object_maps, step by step from the object's frame to the picture's.
    widening = (factors["stretch"] / 2).exp()
    down = ideal[..., 1] * widening
    across = (ideal[..., 0] + factors["bend"] * (ideal[..., 1].square() - 1 / 3)) / (widening * factors["mirror"])
    cosine, sine = factors["orientation"].cos(), factors["orientation"].sin()
    x = (cosine * across + sine * down) * factors["size"] / 2 + factors["position_x"]
    y = (cosine * down - sine * across) * factors["size"] / 2 + factors["position_y"]
    place = torch.stack([x, y], 2) + 0.5
    inside = ((place >= 0) & (place < 1)).all(2)
    return torch.cat([place * size, inside[..., None].float()], 2)


def extent(scene: Scene, size: int) -> Tensor:
    """(B,): the diameter in pixels of the circle around each undeformed object."""
    return scene.factors["size"] * size


def normals(objects: Sequence[Scene], size: int, *, chunk: int = 32) -> Tensor:
    """(B, 3, size, size) float16, of length 1: the surface of the object that is seen, else of the wall behind, z.

    Of a surface of height h over the wall, in units of the frame's side as x and y are: (-dh/dx, -dh/dy, 1),
    normalised; by central differences on the fine grid, so with all that stretching and bending does.
    """
    found = torch.zeros(len(objects[0]), 3, size, size, dtype=torch.float16)
    for start in range(0, len(found), chunk):
        end = min(start + chunk, len(found))
        shown = torch.zeros(end - start, 3, size, size)
        shown[:, 2] = 1
        for scene in objects:
            part = scene[start:end]
            surface = _surface(part, size)
            shown = torch.where(_covered(part, size)[:, None], surface, shown)
        found[start:end] = shown.to(torch.float16)
    return found


def heights(scene: Scene, side: int) -> Tensor:
    """(B, S, S): the object's surface over the wall, in units of the frame's side; it ends beyond the outline."""
    return object_maps(scene, side)[:, CHANNELS.index("height")]


def _surface(scene: Scene, size: int) -> Tensor:
    """(B, 3, size, size): unit normals of the object's surface."""
    side = SUPERSAMPLING * size
    slope_y, slope_x = torch.gradient(heights(scene, side), spacing=1 / side, dim=(1, 2))
    fine = functional.normalize(torch.stack([-slope_x, -slope_y, torch.ones_like(slope_x)], 1), dim=1)
    return functional.normalize(functional.avg_pool2d(fine, SUPERSAMPLING), dim=1)


def _covered(scene: Scene, size: int) -> Tensor:
    """(B, size, size) bool: pixels of which the object, were it alone, covers more than half."""
    distance = object_maps(scene, SUPERSAMPLING * size)[:, CHANNELS.index("distance")]
    return functional.avg_pool2d(coverage(distance)[:, None], SUPERSAMPLING)[:, 0] > 0.5


@cache
def _own_points() -> Tensor:
    """(classes, P, 2): x and y of POINTS in object coordinates, the outline's ends; the middle of a flat end."""
    inside = relief_maps()[CHANNELS.index("distance")].view(len(CLASSES), RESOLUTION, RESOLUTION) < 0
    line = ((torch.arange(RESOLUTION) + 0.5) / RESOLUTION * 2 - 1) * REACH
    found = torch.empty(len(CLASSES), len(POINTS), 2)
    for label, outline in enumerate(inside):
        y, x = (line[place] for place in outline.nonzero(as_tuple=True))
        for number, along in enumerate((y, -x, -y, x)):
            ends = (along == along.min()).nonzero()[:, 0]
            middle = ends[len(ends) // 2]
            found[label, number] = torch.stack([x[middle], y[middle]])
    return found
