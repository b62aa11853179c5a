"""Renders scenes: relief maps are posed, lit, coloured and laid over a background.

There are only elementwise operations and one bilinear look-up, so a picture does not depend on which others are
rendered with it. Legend: B pictures, S rows or columns of the fine grid (SUPERSAMPLING times the picture's).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.datasets._world.scene import BLOBS, FACTORS, Scene
from ssl_models.datasets._world.shapes import CHANNELS, CLASSES, HIGHEST, REACH, RESOLUTION, relief_maps

SUPERSAMPLING = 2
TILT = math.radians(50)
"""Angle of the light from the viewer's direction."""
AMBIENT, DIFFUSE, SPECULAR = 0.3, 0.85, 0.25
NEAREST = HIGHEST * (FACTORS["size"].center + FACTORS["size"].reach) / 2
"""Largest height over the background in a random scene, in units of the frame's side."""


def render(scene: Scene, size: int, *, with_object: bool = True, chunk: int = 32) -> Tensor:
    """(B, 3, size, size) uint8. with_object: False leaves the background alone. chunk: pictures drawn at a time."""
    return render_objects([scene] if with_object else [], size, behind=scene, chunk=chunk)


def render_objects(objects: Sequence[Scene], size: int, *, behind: Scene | None = None, chunk: int = 32) -> Tensor:
    """(B, 3, size, size) uint8: objects laid over each other, before the background of `behind`, or of the first."""
    scene = behind or objects[0]
    images = torch.empty(len(scene), 3, size, size, dtype=torch.uint8)
    for start in range(0, len(scene), chunk):
        picture = background(scene[start : start + chunk], SUPERSAMPLING * size)
        for each in objects:
            picture = _with_object(each[start : start + chunk], picture)
        fine = functional.avg_pool2d(picture, SUPERSAMPLING)
        images[start : start + chunk] = (fine * 255).round_().clamp_(0, 255).to(torch.uint8)
    return images


def nearness(scene: Scene, size: int, *, chunk: int = 32) -> Tensor:
    """(B, 1, size, size) uint8: 0 is the background, 1 to 255 the object's surface from its foot up to NEAREST.

    A pixel is the object's where half of it is covered, and has the mean height of what is: no value lies between an
    edge and the background behind it, as none does in space.
    """
    images = torch.empty(len(scene), 1, size, size, dtype=torch.uint8)
    for start in range(0, len(scene), chunk):
        maps = object_maps(scene[start : start + chunk], SUPERSAMPLING * size)
        share = coverage(maps[:, CHANNELS.index("distance")])
        height = maps[:, CHANNELS.index("height")].clamp(0, NEAREST) / NEAREST
        covered, mean = (functional.avg_pool2d(fine[:, None], SUPERSAMPLING) for fine in (share, share * height))
        shown = torch.where(covered < 0.5, 0.0, 1 + 254 * mean / covered.clamp(min=0.5))
        images[start : start + chunk] = shown.round_().to(torch.uint8)
    return images


def background(scene: Scene, side: int) -> Tensor:
    """(B, 3, S, S): a plain colour, and what the scene has of gradient, texture and clutter."""
    factors = scene.factors
    color = hsv_to_rgb(factors["background_hue"], factors["background_saturation"], factors["background_brightness"])
    picture = color[:, :, None, None].expand(-1, -1, side, side).clone()
    if factors["gradient"].any():
        x, y = _frame(side)
        direction = factors["gradient_direction"]
        along = _numbers(direction.cos()) * x - _numbers(direction.sin()) * y
        picture += (_numbers(factors["gradient"]) * along)[:, None]
    if factors["texture"].any():
        picture += _texture(scene, side)[:, None]
    if factors["clutter"].any():
        picture = _with_blobs(scene, picture)
    return picture.clamp_(0, 1)


def object_maps(scene: Scene, side: int) -> Tensor:
    """(B, channels, S, S): CHANNELS of the object in its pose; distance and height in units of the frame's side.

    Normals stay in the object's own frame: it is cheaper to turn the light than every normal.
    """
    x, y = _frame(side)
    factors = scene.factors
    cosine, sine = (_numbers(value) for value in (factors["orientation"].cos(), factors["orientation"].sin()))
    radius = _numbers(factors["size"]) / 2
    x, y = (x - _numbers(factors["position_x"])) / radius, (y - _numbers(factors["position_y"])) / radius
    across, down = cosine * x - sine * y, sine * x + cosine * y  # (B, S, S), the inverse of a turn against the clock
    across, down = _deformed(scene, across, down)
    limit = 1 - 1 / RESOLUTION
    across, down = ((value / REACH).clamp_(-limit, limit) for value in (across, down))
    down = (2 * _numbers(scene.labels) + 1 + down) / len(CLASSES) - 1
    maps = relief_maps().expand(len(scene), -1, -1, -1)
    found = functional.grid_sample(maps, torch.stack([across, down], 3), align_corners=False)
    found[:, CHANNELS.index("distance")] *= radius
    found[:, CHANNELS.index("height")] *= radius
    return found


def _deformed(scene: Scene, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (B, S, S) in the picture's object -> in the ideal one; what they do to normals is left out."""
    widening = _numbers((scene.factors["stretch"] / 2).exp())
    across, down = across * (widening * _numbers(scene.factors["mirror"])), down / widening
    return across - _numbers(scene.factors["bend"]) * (down * down - 1 / 3), down


def coverage(distance: Tensor) -> Tensor:
    """(B, S, S) signed distances in frame units -> share of each fine pixel that the object covers."""
    return (0.5 - distance * distance.shape[-1]).clamp_(0, 1)


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """hue (B,) in radians, saturation and value (B,) in [0, 1] -> (B, 3) (Smith 1978, as one formula per channel)."""
    sixths = hue * (3 / math.pi)
    channels = []
    for offset in (5, 3, 1):
        position = torch.remainder(offset + sixths, 6)
        channels.append(value * (1 - saturation * torch.minimum(position, 4 - position).clamp(0, 1)))
    return torch.stack(channels, 1)


def _with_object(scene: Scene, picture: Tensor) -> Tensor:
    """The picture (B, 3, S, S) with the object over it: ambient + Lambert + Blinn-Phong light on its colour."""
    distance, normal_x, normal_y, normal_z, tone, _ = object_maps(scene, picture.shape[-1]).unbind(1)
    factors = scene.factors
    bearing = factors["light"] - factors["orientation"]
    light_x, light_y = (_numbers(value * math.sin(TILT)) for value in (bearing.cos(), -bearing.sin()))
    sideways = normal_x * (light_x * _numbers(factors["mirror"])) + normal_y * light_y
    lambert = (sideways + normal_z * math.cos(TILT)).clamp_(min=0)
    # The half vector between light and viewer (0, 0, 1) has length 2 cos(TILT / 2) before it is normalised.
    glance = (sideways + normal_z * (math.cos(TILT) + 1)).mul_(0.5 / math.cos(TILT / 2)).clamp_(min=0)
    for _ in range(4):  # to the power of 16
        glance = glance * glance
    color = hsv_to_rgb(factors["hue"], factors["saturation"], factors["brightness"])[:, :, None, None]
    lit = color * (tone * (AMBIENT + DIFFUSE * lambert))[:, None] + (SPECULAR * glance)[:, None]
    return picture + coverage(distance)[:, None] * (lit.clamp_(max=1) - picture)


def _texture(scene: Scene, side: int) -> Tensor:
    """(B, S, S): plane waves of any direction and phase, 2 to 8 periods across the frame."""
    x, y = _frame(side)
    total = torch.zeros(len(scene), side, side)
    for direction, period, phase in (wave.unbind(1) for wave in scene.waves.unbind(1)):
        frequency = 2 * math.pi * (2 + 6 * period)
        angle = 2 * math.pi * direction
        along = _numbers(frequency * angle.cos()) * x + _numbers(frequency * angle.sin()) * y
        total += torch.sin(along + _numbers(2 * math.pi * phase))
    return total * _numbers(scene.factors["texture"]) * (0.3 / scene.waves.shape[1])


def _with_blobs(scene: Scene, picture: Tensor) -> Tensor:
    """The picture with soft-edged discs of any colour; they come in one by one as clutter grows."""
    x, y = _frame(picture.shape[-1])
    for number, blob in enumerate(scene.blobs.unbind(1)):
        left, top, radius, hue, value = blob.unbind(1)
        seen = (scene.factors["clutter"] * BLOBS - number).clamp(0, 1)
        square = (x - _numbers(left - 0.5)) ** 2 + (y - _numbers(top - 0.5)) ** 2
        distance = square.sqrt_() - _numbers(0.04 + 0.1 * radius)
        color = hsv_to_rgb(2 * math.pi * hue, torch.full_like(hue, 0.5), 0.3 + 0.6 * value)[:, :, None, None]
        picture = picture + (_numbers(seen) * coverage(distance))[:, None] * (color - picture)
    return picture


def _frame(side: int) -> tuple[Tensor, Tensor]:
    """x (1, S) and y (S, 1) of the fine pixels' centres, of the frame's side, from its centre, y down."""
    line = (torch.arange(side) + 0.5) / side - 0.5
    return line[None], line[:, None]


def _numbers(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1), one number a picture."""
    return values[:, None, None]
