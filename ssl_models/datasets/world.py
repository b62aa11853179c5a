"""The rendered world: shaded objects of twelve shapes. Every nuisance factor is known.

It is an instrument, not a benchmark. Every protocol runs on it offline in minutes, and invariance can be measured for
each factor. Classes differ in shape alone; pose, light, colours and background are drawn independently of the class.
Only the object itself tells which way is up, within the range of its orientation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ssl_models.datasets._common.split import IMAGES, Dataset, Split
from ssl_models.datasets._world.render import nearness, render
from ssl_models.datasets._world.scene import DIALS, FACTORS, check_classes, check_dials, sample_scene
from ssl_models.datasets._world.shapes import CLASSES


def load(
    *,
    seed: int,
    train: int = 8192,
    test: int = 2048,
    size: int = 32,
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
    classes: list[str] | None = None,
    imbalance: float = 1.0,
    depth: bool = False,
) -> Dataset:
    """train and test images (N, 3, size, size) uint8, labels (N,), and `class` and every factor of FACTORS.

    position ... clutter: dials in [0, 1], 0 fixes a factor (amounts: leaves it out), 1 gives it its full range; see
    scene.FACTORS for ranges and units. orientation 1 is any angle, and then nothing is upright. light or gradient: a
    rotation prediction can read the direction of a light that always comes from one side, so keep light at 1.
    classes: names of those that are drawn, in the order of the labels; None for all twelve.
    imbalance: how many times as frequent the first class is as the last among the training images; those of the test
    are balanced. 1 balances both, see scene.sample_scene.
    depth: a fourth channel, the nearness of what each pixel shows; see render.nearness.
    Raises ValueError for a count below 1, a size below 16, a negative seed, a dial outside [0, 1], an imbalance below
    1, and for unknown classes or fewer than 2.
    """
    dials = {
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
    _check(seed, train, test, size, dials)
    chosen = check_classes(classes, imbalance)
    return Dataset(
        _split(2 * seed, train, size, dials, chosen, imbalance, depth),
        _split(2 * seed + 1, test, size, dials, chosen, 1.0, depth),
        chosen,
    )


def count(
    *,
    train: int = 8192,
    test: int = 2048,
    size: int = 32,
    seed: int = 0,
    classes: list[str] | None = None,
    imbalance: float = 1.0,
    depth: bool = False,  # noqa: ARG001 - as load
    **dials: float,
) -> tuple[int, int]:
    """Number of training and test samples that `load` gives for these settings; checks them in the same way."""
    _check(seed, train, test, size, dials)
    check_classes(classes, imbalance)
    return train, test


def channels(*, depth: bool = False, **_: Any) -> int:
    """Number of channels of the images that `load` gives for these settings."""
    return 4 if depth else 3


def _split(
    seed: int,
    samples: int,
    size: int,
    dials: dict[str, float],
    classes: Sequence[str],
    imbalance: float,
    depth: bool,
) -> Split:
    numbers = [CLASSES.index(name) for name in classes]
    scene = sample_scene(samples, torch.Generator().manual_seed(seed), dials, numbers, imbalance)
    images = render(scene, size)
    if depth:
        images = torch.cat([images, nearness(scene, size)], 1)
    labels = torch.tensor([numbers.index(number) for number in scene.labels.tolist()])
    return Split({IMAGES: images}, labels, scene.record() | {"class": labels.float()})


def _check(seed: int, train: int, test: int, size: int, dials: dict[str, float]) -> None:
    if seed < 0:
        raise ValueError(f"world seed is {seed}; it must not be negative")
    for name, samples in (("train", train), ("test", test)):
        if samples < 1:
            raise ValueError(f"world {name} is {samples}; it must be at least 1 sample")
    if size < 16:
        raise ValueError(f"world size is {size} pixels; it must be at least 16, or the objects cannot be told apart")
    check_dials(dials)


def factor_sweep(*, seed: int, size: int = 64, steps: int = 12) -> tuple[Tensor, tuple[str, ...]]:
    """One row a factor: the same object, that factor moved over its full range -> (3, H, W) uint8, and the names.

    The other factors are those of one default scene. Raises ValueError for fewer than 2 steps.
    """
    _check(seed, 1, 1, size, {})
    if steps < 2:
        raise ValueError(f"factor_sweep steps is {steps}; it takes at least 2 to show both ends")
    scene = sample_scene(1, torch.Generator().manual_seed(2 * seed), DIALS)
    repeated = scene[torch.zeros(steps, dtype=torch.int64)]
    share = torch.linspace(0, 1, steps)
    rows = [render(repeated.moved(**_shown(name, factor.value(share, 1.0))), size) for name, factor in FACTORS.items()]
    return _tiled(torch.stack(rows)), tuple(FACTORS)


def _shown(name: str, values: Tensor) -> dict[str, Tensor | float]:
    """The factor's values, and a gradient for its direction to be seen by."""
    return {"gradient": 0.4, name: values} if name == "gradient_direction" else {name: values}


def _tiled(rows: Tensor) -> Tensor:
    """(rows, columns, C, H, W) -> (C, rows * H, columns * W)."""
    count_rows, columns, channels, height, width = rows.shape
    return rows.permute(2, 0, 3, 1, 4).reshape(channels, count_rows * height, columns * width)
