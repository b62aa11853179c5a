"""Scenes of the rendered world: pictures of one or several of its objects, with boxes, masks, points and normals.

Objects, light and colours are those of world.py, so a representation that was trained there is measured here. With one
object a picture has a class and named points. With several it shows some of the classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_models.datasets._common.split import IMAGES, Dataset, Split
from ssl_models.datasets._world import truth
from ssl_models.datasets._world.grid import MOST, stand
from ssl_models.datasets._world.render import SUPERSAMPLING, render_objects
from ssl_models.datasets._world.scene import DIALS, Scene, check_classes, sample_scene
from ssl_models.datasets._world.shapes import CLASSES


def load(
    *,
    seed: int,
    train: int = 1024,
    test: int = 512,
    size: int = 64,
    objects: int = 1,
    background: float = 0.6,
    imbalance: float = 1.0,
) -> Dataset:
    """train and test images (N, 3, size, size) uint8 and their truth; labels where objects is 1.

    objects: the most that a picture holds, at most MOST; each number from 1 is as frequent. They may hide a part of
    each other. background: dial of its colours, and imbalance: of the training objects' classes, see world.py.
    truth: boxes, masks, present, normals; with one object also points and extent.
    Raises ValueError for a count below 1, a size below 32, a negative seed, objects or a dial out of range.
    """
    _check(seed, train, test, size, objects, background)
    check_classes(None, imbalance)
    names = truth.POINTS if objects == 1 else ()
    parts = ((train, imbalance), (test, 1.0))
    splits = [
        _split(2 * seed + part, samples, size, objects, background, ratio)
        for part, (samples, ratio) in enumerate(parts)
    ]
    return Dataset(splits[0], splits[1], CLASSES, points=names)


def count(
    *,
    train: int = 1024,
    test: int = 512,
    size: int = 64,
    objects: int = 1,
    background: float = 0.6,
    imbalance: float = 1.0,
    seed: int = 0,
) -> tuple[int, int]:
    """Number of training and test samples that `load` would give for these settings, by the same rules."""
    _check(seed, train, test, size, objects, background)
    check_classes(None, imbalance)
    return train, test


def place(
    samples: int, objects: int, generator: torch.Generator, dials: dict[str, float], imbalance: float = 1.0
) -> list[Scene]:
    """The scenes of one picture's objects, one list entry an object; nothing is seen of those that a picture lacks.

    All share the first one's light and background. Later ones lie over earlier ones.
    """
    scenes = [sample_scene(samples, generator, dials, imbalance=imbalance) for _ in range(objects)]
    if objects == 1:
        return scenes
    many = torch.randint(1, objects + 1, (samples,), generator=generator)
    cells = torch.rand(samples, MOST, generator=generator).argsort(1)
    return stand(scenes, cells, many)


def _split(seed: int, samples: int, size: int, objects: int, background: float, imbalance: float) -> Split:
    dials = DIALS | {"background": background}
    scenes = place(samples, objects, torch.Generator().manual_seed(seed), dials, imbalance)
    known = _truth(scenes, size)
    single = objects == 1
    if single:
        known |= {"points": truth.points(scenes[0], size), "extent": truth.extent(scenes[0], size)}
    images = render_objects(scenes, size)
    return Split({IMAGES: images}, scenes[0].labels if single else None, scenes[0].record() if single else {}, known)


def _truth(scenes: Sequence[Scene], size: int) -> dict[str, Tensor]:
    shown = truth.masks(scenes, size)
    found = truth.boxes(scenes, shown)
    return {
        "boxes": found,
        "present": truth.present(found, len(shown), len(CLASSES)),
        "masks": shown,
        "normals": truth.normals(scenes, size),
    }


def _check(seed: int, train: int, test: int, size: int, objects: int, background: float) -> None:
    if seed < 0:
        raise ValueError(f"world_scenes seed is {seed}; it must not be negative")
    for name, samples in (("train", train), ("test", test)):
        if samples < 1:
            raise ValueError(f"world_scenes {name} is {samples}; it must be at least 1 sample")
    if size < 16 * SUPERSAMPLING:
        raise ValueError(f"world_scenes size is {size} pixels; it must be at least {16 * SUPERSAMPLING}")
    if not 1 <= objects <= MOST:
        raise ValueError(f"world_scenes objects is {objects}; it must be 1 to {MOST}")
    if not 0 <= background <= 1:
        raise ValueError(f"world_scenes background is {background}; it must be between 0 and 1")
