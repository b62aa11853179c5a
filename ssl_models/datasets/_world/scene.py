"""The contents of a picture of the world: the object, its pose, the light and the colours.

Every factor is drawn uniformly, and independently of the class and of every other factor. A factor's dial in [0, 1]
narrows its range around its centre, and 0 fixes it. The draws themselves stay the same, so a dial changes one factor
only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from zlib import crc32

import torch
from torch import Tensor

from ssl_models.datasets._world.shapes import CLASSES

BLOBS = 8
"""Distractor blobs at most; a scene's clutter says what share of them is seen."""
BLOB_NUMBERS = 5
WAVES = 3
"""Plane waves that make the texture."""
WAVE_NUMBERS = 3


class Kind(Enum):
    """How a factor's dial d and a share u in [0, 1) make its value."""

    RANGE = "center + d * reach * (2 u - 1)"
    ANGLE = "as RANGE, in radians, and recorded as (cosine, sine), since -pi and pi are the same"
    AMOUNT = "d * reach * u"
    SIGN = "-1 where u < d / 2, else 1"


@dataclass(frozen=True)
class Factor:
    """A nuisance factor: the dial that narrows it, and its values at any dial."""

    dial: str
    center: float = 0.0
    reach: float = 1.0
    kind: Kind = Kind.RANGE

    def value(self, share: Tensor, dial: float) -> Tensor:
        """Shares (B,) in [0, 1) -> values (B,)."""
        if self.kind is Kind.AMOUNT:
            return dial * self.reach * share
        if self.kind is Kind.SIGN:
            return 1 - 2 * (share < dial / 2).float()
        return self.center + dial * self.reach * (2 * share - 1)


FACTORS: dict[str, Factor] = {
    "position_x": Factor("position", 0.0, 0.13),
    "position_y": Factor("position", 0.0, 0.13),
    "orientation": Factor("orientation", 0.0, math.pi),
    "size": Factor("object_size", 0.775, 0.175),
    "mirror": Factor("mirror", kind=Kind.SIGN),
    "stretch": Factor("deformation", 0.0, 0.3),
    "bend": Factor("deformation", 0.0, 0.4),
    "light": Factor("light", math.pi / 2, math.pi, Kind.ANGLE),
    "hue": Factor("colour", 0.0, math.pi, Kind.ANGLE),
    "saturation": Factor("colour", 0.55, 0.35),
    "brightness": Factor("colour", 0.75, 0.25),
    "background_hue": Factor("background", 0.0, math.pi, Kind.ANGLE),
    "background_saturation": Factor("background", 0.15, 0.15),
    "background_brightness": Factor("background", 0.5, 0.4),
    "gradient": Factor("gradient", 0.0, 0.5, Kind.AMOUNT),
    "gradient_direction": Factor("gradient", 0.0, math.pi, Kind.ANGLE),
    "texture": Factor("texture", 0.0, 1.0, Kind.AMOUNT),
    "clutter": Factor("clutter", 0.0, 1.0, Kind.AMOUNT),
}
"""Units. position: of the frame's side, from its centre, y down. orientation, light: radians, counter-clockwise as
seen; light 0 comes from the right, pi / 2 from above. size: diameter of the circle around the undeformed object, of the
frame's side. mirror: -1 where left and right are exchanged. stretch: logarithm of height to width, area kept. bend:
sideways, in radii of the object, of its top and bottom against its middle. gradient: difference of brightness across
the frame, brighter towards its direction. texture: contrast. clutter: share of the blobs that is seen.
"""

DIALS: dict[str, float] = {
    "position": 1.0,
    "orientation": 1 / 6,
    "object_size": 1.0,
    "mirror": 1.0,
    "deformation": 1.0,
    "light": 1.0,
    "colour": 1.0,
    "background": 0.6,
    "gradient": 0.0,
    "texture": 0.0,
    "clutter": 0.0,
}
"""The defaults. light: 1 is the whole circle; less would tell a rotation prediction which way is up."""


@dataclass(frozen=True)
class Scene:
    """B pictures to draw. labels: (B,) int64. factors: FACTORS -> (B,) float32.

    blobs: (B, BLOBS, BLOB_NUMBERS) and waves: (B, WAVES, WAVE_NUMBERS), raw draws in [0, 1) for clutter and texture.
    """

    labels: Tensor
    factors: Mapping[str, Tensor]
    blobs: Tensor
    waves: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Scene:
        factors = {name: values[index] for name, values in self.factors.items()}
        return Scene(self.labels[index], factors, self.blobs[index], self.waves[index])

    def moved(self, **values: Tensor | float) -> Scene:
        """The same scenes with some factors set to (B,) values or one number."""
        if unknown := set(values) - set(self.factors):
            raise ValueError(f"factors {sorted(unknown)} are unknown; choose from {sorted(self.factors)}")
        changed = {name: torch.zeros_like(self.factors[name]) + value for name, value in values.items()}
        return replace(self, factors={**self.factors, **changed})

    def record(self) -> dict[str, Tensor]:
        """Class and factors as a Split keeps them: (B,) float32, angles (B, 2) as cosine and sine."""
        known = {"class": self.labels.float()}
        for name, values in self.factors.items():
            angle = FACTORS[name].kind is Kind.ANGLE
            known[name] = torch.stack([values.cos(), values.sin()], 1) if angle else values
        return known


def sample_scene(
    samples: int,
    generator: torch.Generator,
    dials: Mapping[str, float],
    classes: Sequence[int] = range(len(CLASSES)),
    imbalance: float = 1.0,
) -> Scene:
    """`samples` scenes; every block of len(classes) in turn holds each class once, in random order.

    classes: numbers in CLASSES. imbalance: how many times as frequent the first of them is as the last. Above 1 each
    class is drawn on its own, and frequencies fall by the same factor from each class to the next (long-tailed, Cui et
    al. 2019, arXiv:1901.05555, section 5.1).
    Each factor has a stream of its own, named after it: the first scenes of a longer draw are those of a shorter one,
    and a new factor does not change the draws of the others.
    """
    seed = int(torch.randint(2**32, (), generator=generator))
    labels = torch.tensor(classes)[_places(seed, samples, len(classes), imbalance)]
    factors = {name: factor.value(uniform(seed, name, samples), dials[factor.dial]) for name, factor in FACTORS.items()}
    blobs = uniform(seed, "blobs", samples, BLOBS, BLOB_NUMBERS)
    waves = uniform(seed, "waves", samples, WAVES, WAVE_NUMBERS)
    return Scene(labels, factors, blobs, waves)


def _places(seed: int, samples: int, classes: int, imbalance: float) -> Tensor:
    """(samples,) int64 in 0..classes - 1, see `sample_scene`."""
    if imbalance == 1:
        blocks = -(-samples // classes)
        return uniform(seed, "class", blocks, classes).argsort(1).flatten()[:samples]
    shares = imbalance ** -torch.linspace(0, 1, classes)
    ends = (shares / shares.sum()).cumsum(0)[:-1].contiguous()
    return torch.bucketize(uniform(seed, "class", samples), ends, right=True)


def check_classes(names: Sequence[str] | None, imbalance: float) -> tuple[str, ...]:
    """The names, all of CLASSES for None. Raises ValueError for under 2, unknown or doubled ones, a ratio below 1."""
    chosen = CLASSES if names is None else tuple(names)
    if unknown := [name for name in chosen if name not in CLASSES]:
        raise ValueError(f"world class '{unknown[0]}' is unknown; choose from {', '.join(CLASSES)}")
    if len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise ValueError(f"world classes are {', '.join(chosen) or 'none'}; there must be at least 2, each named once")
    if not 1 <= imbalance < math.inf:
        raise ValueError(
            f"world imbalance is {imbalance}; it is how many times as frequent the first class is: 1 or more"
        )
    return chosen


def check_dials(dials: Mapping[str, float]) -> None:
    """Raises ValueError for a dial that is unknown or outside [0, 1]."""
    for name, value in dials.items():
        if name not in DIALS:
            raise ValueError(f"world dial '{name}' is unknown; choose from {sorted(DIALS)}")
        if not 0 <= value <= 1:
            raise ValueError(f"world dial {name} is {value}; it must be between 0 (fixed) and 1 (full range)")


def uniform(seed: int, stream: str, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) of a seed's named stream."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed ^ crc32(stream.encode())))
