"""Clips of the rendered world: one object a clip, of twelve classes, does one of eight actions. All of it is known.

It is an instrument, not a benchmark. Class and action are independent of each other and of all else: every 96 clips
hold each pair once. Light, colours and background stay as they are within a clip.

What tells the action: accuracy of a linear classifier, of 2,048 + 512 clips (* 8,000 + 4,000); chance is 12.5 %.

    place, angle, size, stretch: one frame at a random time*   12.7 %
    the same of the first frame*                               23.9 %
    8 x 8 pixels of the first frame                            15.8 %
    boxes of all frames                                          44 %
    spread of the boxes, and their steps and sizes of steps      80 %
    the same of the points                                       99 %

The first frame tells a little, as an object that will grow is small and one that will shrink is large. A clip is as
likely as its reverse with grow and shrink exchanged: size tells which way time goes only where the action is known. The
tracker finds nothing in a clip where nothing moves, so its tracks tell `still`.

2,560 clips take 8 s of one core, and 10 s with the tracker.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl_models.bounds import require_choice
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._video.tracker import tracks as tracked
from ssl_models.datasets._world import truth
from ssl_models.datasets._world.render import render
from ssl_models.datasets._world.scene import Scene, sample_scene
from ssl_models.datasets._world.shapes import CLASSES
from ssl_models.datasets._world_video.motion import ACTIONS, DIALS, FEWEST_FRAMES, sample_motions
from ssl_models.datasets._world_video.path import frames_of

KIND = "video"
FPS = 10.0
SIZE, FRAMES = 32, 10
TRACKS = ("tracker", "true")
SMALLEST = 32
PATTERNS = ("gradient", "texture", "clutter")
"""Dials of what can be seen to move when a camera does."""


def load(
    *,
    seed: int,
    train: int = 2048,
    test: int = 512,
    size: int = SIZE,
    frames: int = FRAMES,
    tracks: str = "tracker",
    speed: float = DIALS["speed"],
    camera: float = DIALS["camera"],
    position: float = DIALS["position"],
    orientation: float = DIALS["orientation"],
    object_size: float = DIALS["object_size"],
    mirror: float = DIALS["mirror"],
    deformation: float = DIALS["deformation"],
    light: float = DIALS["light"],
    colour: float = DIALS["colour"],
    background: float = DIALS["background"],
    gradient: float = DIALS["gradient"],
    texture: float = DIALS["texture"],
    clutter: float = DIALS["clutter"],
) -> Dataset:
    """train and test clips: frames (N, T, 3, size, size) uint8, tracks (N, 1, T, 4) and source (N, 1), each its own.

    labels and truth "labels.class": the class; "labels.action"; frame_boxes (N, 1, T, 4), frame_points (N, T, 4, 3) and
    frame_extent (N, T). factors: those of the first frame (see scene.FACTORS; objects have 0.6 of the size and half of
    the deformation of world.py), action, speed and camera.
    frames: T, always one second. tracks: "tracker" for what a tracker finds in the frames, "true" for frame_boxes.
    speed ... clutter: dials in [0, 1], 0 fixes a factor (amounts: leaves it out). speed: how far actions go; at 0
    nothing moves. camera: how far the picture is panned at an even pace in any direction, the object with it; it needs
    a pattern to be seen by, or a pan of an object that is still would be a slide.
    Raises ValueError for a count below 1, a size below 32, fewer than 5 frames, a negative seed, unknown tracks, a dial
    outside [0, 1], or a camera before a plain background.
    """
    dials = {
        "speed": speed,
        "camera": camera,
        "position": position,
        "orientation": orientation,
        "object_size": object_size,
        "mirror": mirror,
        "deformation": deformation,
        "light": light,
        "colour": colour,
        "background": background,
        "gradient": gradient,
        "texture": texture,
        "clutter": clutter,
    }
    shapes, known = describe(train=train, test=test, size=size, frames=frames, tracks=tracks, seed=seed, **dials)
    splits = [
        _split(2 * seed + part, samples, shapes["frames"], tracks == "true", dials)
        for part, samples in ((0, train), (1, test))
    ]
    sets = {"action": ACTIONS, "class": CLASSES}
    return Dataset(splits[0], splits[1], CLASSES, points=truth.POINTS, known=known, label_sets=sets)


def count(
    *,
    train: int = 2048,
    test: int = 512,
    size: int = SIZE,
    frames: int = FRAMES,
    tracks: str = "tracker",
    seed: int = 0,
    **dials: float,
) -> tuple[int, int]:
    """Number of training and test samples that `load` gives for these settings; checks them in the same way."""
    if seed < 0:
        raise ValueError(f"world_video seed is {seed}; it must not be negative")
    for name, samples in (("train", train), ("test", test)):
        if samples < 1:
            raise ValueError(f"world_video {name} is {samples}; it must be at least 1 sample")
    if size < SMALLEST:
        raise ValueError(f"world_video size is {size} pixels; it must be at least {SMALLEST}, or no motion is seen")
    if frames < FEWEST_FRAMES:
        raise ValueError(f"world_video frames is {frames}; it must be at least {FEWEST_FRAMES}, or a hop is not seen")
    require_choice("world_video tracks", tracks, TRACKS)
    _check_dials(dials)
    return train, test


def describe(**settings: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shape of each part of a sample, and Dataset.known. Raises ValueError as `count`."""
    count(**settings)
    frames, size = settings.get("frames", FRAMES), settings.get("size", SIZE)
    return {"frames": (frames, 3, size, size), "tracks": (1, frames, 4), "source": (1,)}, {"fps": FPS}


def factor_sweep(*, seed: int, size: int = 64, steps: int = 12) -> tuple[Tensor, tuple[str, ...]]:
    """One row an action over time, then the end of a slide at any speed, and a camera's pan -> (3, H, W) uint8, names.

    The same object in one default scene; the pan is shown before a texture. Raises ValueError for fewer than 5 steps.
    """
    if steps < FEWEST_FRAMES:
        raise ValueError(f"factor_sweep steps is {steps}; it takes at least {FEWEST_FRAMES} to show a hop")
    count(seed=seed, size=size)
    generator = torch.Generator().manual_seed(2 * seed)
    scene = sample_scene(1, generator, DIALS)
    motions = sample_motions(scene.labels, steps, generator, DIALS)
    rows = [frames_of(scene, motions.doing(action)) for action in ACTIONS]
    slide, still = motions.doing("slide"), motions.doing("still")
    ends = [frames_of(scene, slide.moved(speed=float(share)))[-1:] for share in torch.linspace(0, 1, steps)]
    pan = frames_of(scene.moved(texture=0.7), still.moved(camera=1.0))
    strips = [_strip(render(row, size)) for row in rows]
    strips += [_strip(torch.cat([render(end, size) for end in ends])), _strip(render(pan, size))]
    return torch.cat(strips, 1), (*ACTIONS, "speed", "camera")


def _strip(pictures: Tensor) -> Tensor:
    """(columns, C, H, W) -> (C, H, columns * W)."""
    return pictures.permute(1, 2, 0, 3).flatten(2)


def _split(seed: int, samples: int, shape: tuple[int, ...], true_tracks: bool, dials: dict[str, float]) -> Split:
    count, _, _, size = shape
    generator = torch.Generator().manual_seed(seed)
    scene = sample_scene(samples, generator, dials)
    motions = sample_motions(scene.labels, count, generator, dials)
    every = frames_of(scene, motions)
    frames = render(every, size).view(samples, *shape)
    known = _truth(every, size, samples) | {"labels.class": scene.labels, "labels.action": motions.actions}
    source = torch.arange(samples, dtype=torch.int32)[:, None]
    tracks = known["frame_boxes"].clone() if true_tracks else tracked(frames, most=1)
    factors = every[::count].record() | {"action": motions.actions.float()}
    factors |= {name: values.float() for name, values in motions.factors.items()}
    return Split({"frames": frames, "tracks": tracks, "source": source}, scene.labels, factors, known)


def _truth(every: Scene, size: int, samples: int) -> dict[str, Tensor]:
    """Annotations of all frames; an object that stays in the frame has a box in each."""
    boxes = truth.boxes([every], truth.masks([every], size))[:, 2:6]
    return {
        "frame_boxes": boxes.view(samples, 1, -1, 4),
        "frame_points": truth.points(every, size).view(samples, -1, len(truth.POINTS), 3),
        "frame_extent": truth.extent(every, size).view(samples, -1),
    }


def _check_dials(dials: dict[str, float]) -> None:
    for name, value in dials.items():
        if name not in DIALS:
            raise ValueError(f"world_video dial '{name}' is unknown; choose from {sorted(DIALS)}")
        if not 0 <= value <= 1:
            raise ValueError(f"world_video dial {name} is {value}; it must be between 0 (fixed) and 1 (full range)")
    chosen = DIALS | dials
    if chosen["camera"] > 0 and not any(chosen[name] for name in PATTERNS):
        raise ValueError(
            f"world_video camera is {chosen['camera']} before a plain background, where a pan of an object that is "
            f"still would be a slide; set one of {', '.join(PATTERNS)} above 0, or camera to 0"
        )
