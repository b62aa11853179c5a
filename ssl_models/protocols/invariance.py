"""How much a representation changes when the picture does: under transforms, and under each factor of the world.

Misra & van der Maaten 2020 (arXiv:1912.01991, section 5) compare features of a picture and of its transformed copy at
unit length. That ranks two networks only if both spread pictures equally: an untrained one gives all pictures nearly
one direction, and so a cosine near 1 before and after anything. Here the cosine is corrected for that of unrelated
pictures, as Cohen's kappa corrects agreement for chance:

    invariance = (E cos(f(x), f(t(x))) - E cos(f(x), f(t(x')))) / (1 - E cos(f(x), f(t(x')))),    x, x' two pictures
               = 1 - E |f(x) - f(t(x))|^2 / E |f(x) - f(t(x'))|^2    at unit length, where |f - g|^2 = 2 - 2 cos.

This is the concordance correlation of before and after (Lin 1989, Biometrics 45; for vectors King & Chinchilli 2001):
1 where nothing changes, 0 where a picture is no closer to its own copy than to another's, and never below -1. The
other picture is transformed as well. Otherwise a transform that erases the picture, t(x) = constant, could reach 1/2.

Where t draws one factor of a scene again, before and after have the same distribution, and E |f - f'|^2 / (2 Var f) is
the share of the variance in which the factor takes part: Sobol's total index by the estimator of Jansen 1999 (Computer
Physics Communications 117). That share, 1 - invariance, is the factor's sensitivity. An interaction of factors counts
for each of them, so that the shares add up to more than 1.

Legend: N pictures, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.datasets._world.render import render
from ssl_models.datasets._world.scene import DIALS, FACTORS, Scene, sample_scene
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsSamples
from ssl_models.extraction import extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.modalities.inputs import inputs
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._invariance import histogram
from ssl_models.rows import Samples
from ssl_models.views.geometric import random_crop_flip
from ssl_models.views.patches import GRID, random_orders
from ssl_models.views.photometric import colour_jitter, require_jitter

NEEDS = ("encoder", "images")
TITLE = "invariance"
READING = (
    "1: the representation does not notice the change; 0: the changed picture is as unlike its original as another "
    "picture is. A good representation is near 1 for nuisances and near 0 for the class; more is not better in "
    "itself."
)
HEADLINE = None
UNITS = {"invariance*": "number"}
MAP = "Each transform and factor at the last layer."
AGAINST = "Each run's mean over the transforms against how well it transfers, both at the last layer."
TRANSFORMS = ("rotation", "jigsaw", "crop", "colour")
SMALLEST = 8
"""The least number of pictures. With fewer, the distance of unrelated pictures is not reliable."""
SCENES = 256
"""The most pairs of scenes for a factor; twenty-three sets of scenes are rendered and encoded."""

FLAT = 1e-12
"""A representation whose unrelated pictures are no further apart than this, at unit length, is constant."""
UNSEEN = 2**31
"""Added to the seed of scenes, so that none is in the world's own splits. torch reads 32 bits of a seed."""
BATCH = 256
RESAMPLES = 1000

Changes = dict[str, ndarray]
"""Layer -> (2, N): each picture's squared distance to its own copy, and its part in that of unrelated pictures."""


def evaluate(
    representation: Representation,
    *,
    seed: int,
    samples: int = 512,
    factors: bool = True,
    smallest_crop: float = 0.2,
    strength: float = 0.5,
    hue: float = 0.5,
) -> Findings:
    """`invariance_<transform>` at each layer, their mean `invariance`, and `invariance_<factor>`.

    rotation: by 90, 180 and 270 degrees, all three. jigsaw: nine tiles in a random order, in one picture. crop: of an
    area from `smallest_crop` to 1, scaled back. colour: jitter of `strength` and `hue`, always applied. Each picture
    has its own draws. Layers are pooled to about 512 numbers, as for all protocols. A shift within a layer's map
    changes these numbers, except in "pooled".

    samples: the most test pictures, drawn with `seed`. factors: also render scenes of the world in the pictures' size,
    and draw one factor of them after another again ("class": the shape). These scenes do not depend on the data: for an
    encoder that was trained on photographs they tell how it responds to rendered objects. Factors are left out where
    pictures do not have three channels. Gradient, texture and clutter are in the scenes only where they are measured.
    Intervals are by bootstrap over pictures. A constant representation scores 0. The picture is of the layer "pooled":
    how far each picture is from its own copies, and dashed, how far from the copy of another one.
    Raises NeedsSamples for too few or too small pictures, ValueError for settings out of range and features that are
    not finite.
    """
    refuse(samples=samples, factors=factors, smallest_crop=smallest_crop, strength=strength, hue=hue)
    test = _drawn(representation.images("test"), samples, seed)
    gauge = Gauge(representation.encoder(), representation.precision)
    generator = torch.Generator().manual_seed(seed)

    def jitter(pictures: Tensor) -> Tensor:
        colours = colour_jitter(pictures[:, :3], generator, strength=strength, hue=hue, probability=1.0)
        return torch.cat([colours, pictures[:, 3:]], 1)  # only the first three channels are colours

    found = {
        "rotation": [torch.rot90(test, turns, (2, 3)) for turns in (1, 2, 3)],
        "jigsaw": [jigsaw(test, random_orders(len(test), generator))],
        "crop": [_as_bytes(test, lambda part: random_crop_flip(part, generator, smallest=smallest_crop, flip=0.0))],
        "colour": [_as_bytes(test, jitter)],
    }
    before = gauge(test)
    changes = {name: compare(before, *(gauge(view) for view in views)) for name, views in found.items()}
    if factors and test.shape[1] == 3:
        changes |= dict(_factor_changes(gauge, min(test.shape[2:]), min(samples, SCENES), seed))
    return _findings(representation.layers, changes, seed)


def refuse(*, samples: int, factors: bool, smallest_crop: float, strength: float, hue: float) -> None:  # noqa: ARG001
    """Raises ValueError for settings out of range."""
    if samples < SMALLEST:
        raise ValueError(f"samples = {samples} must be at least {SMALLEST}")
    require_positive(smallest_crop=smallest_crop)
    require_fraction(smallest_crop=smallest_crop)
    require_jitter(strength, hue)


@dataclass(frozen=True)
class Gauge:
    """Pictures (N, C, H, W) uint8 -> layer -> (N, D) float64 of unit length; a zero vector stays zero."""

    encoder: Encoder
    precision: str

    def __call__(self, pictures: Tensor) -> dict[str, ndarray]:
        device = pick_device()
        with autocast(resolve_precision(self.precision, device), device):
            parts = list(extract_features(self.encoder, {"images": pictures}, device, batch_size=BATCH))
        return {layer: _directions(layer, torch.cat([part[layer] for part in parts])) for layer in parts[0]}


def compare(before: dict[str, ndarray], *after: dict[str, ndarray]) -> Changes:
    """Layer -> (N, D) of N pictures and of their copies -> layer -> (2, N) `distances`, their mean over copies."""
    return {layer: np.mean([distances(f, copy[layer]) for copy in after], axis=0) for layer, f in before.items()}


def distances(before: ndarray, after: ndarray) -> ndarray:
    """Features (N, D) f of pictures and g of their copies -> (2, N): |f_i - g_i|^2, and u_i.

    The mean of u_i is U, the mean of |f_i - g_j|^2 over i != j. u_i = mean over j of |f_i - g_j|^2 + mean over j of
    |f_j - g_i|^2 - U is what picture i adds to U to first order (Hoeffding 1948). So resampling pictures needs these N
    numbers, and not all pairs.
    """
    others, middle = len(before) - 1, before.mean(0)
    before, after = before - middle, after - middle  # else the squares below would be differences of large numbers
    own = np.square(before - after).sum(1)
    squares, copies = np.square(before).sum(1), np.square(after).sum(1)
    from_picture = (squares * len(before) + copies.sum() - 2 * before @ after.sum(0) - own) / others
    from_copy = (copies * len(before) + squares.sum() - 2 * after @ before.sum(0) - own) / others
    return np.stack([own, from_picture + from_copy - from_picture.mean()])


def invariance(change: ndarray, weights: ndarray) -> ndarray:
    """(..., 2, N) from `distances`, and R weightings (R, N) of the pictures with sum 1 -> (R,).

    It is 1 - own / unrelated, averaged over the leading axes.
    """
    own, unrelated = np.moveaxis(change @ weights.T, -2, 0)  # (..., R)
    shares = np.where(unrelated < FLAT, 0.0, 1 - own / np.maximum(unrelated, FLAT))
    return np.asarray(shares.reshape(-1, len(weights)).mean(0))


def jigsaw(pictures: Tensor, orders: Tensor) -> Tensor:
    """Pictures (N, C, H, W) with their nine tiles in other places: place k of picture n shows tile orders[n, k].

    Where a side is no multiple of three, one or two lines at the edges stay as they are.
    """
    tall, wide = (extent // GRID for extent in pictures.shape[2:])
    top, left = (pictures.shape[2] - GRID * tall) // 2, (pictures.shape[3] - GRID * wide) // 2
    shuffled = pictures.clone()
    inner = shuffled[:, :, top : top + GRID * tall, left : left + GRID * wide]
    samples, channels = pictures.shape[:2]
    tiles = inner.reshape(samples, channels, GRID, tall, GRID, wide).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    tiles = tiles[torch.arange(samples)[:, None], orders]  # (N, 9, C, tall, wide)
    tiles = tiles.view(samples, GRID, GRID, channels, tall, wide).permute(0, 3, 1, 4, 2, 5)
    inner.copy_(tiles.reshape(inner.shape))
    return shuffled


def scene_pairs(samples: int, seed: int, dial: str) -> Iterator[tuple[str, Scene]]:
    """First ("", scenes), then for each factor its name and the same scenes with this factor drawn again.

    dial: "" for the factors of the default world. The name of a dial that is 0 there stands for the factors of that
    dial; it is then 1.
    """
    dials = DIALS | ({dial: 1.0} if dial else {})
    seeds = (UNSEEN + 2 * seed + part for part in (0, 1))
    scene, other = (sample_scene(samples, torch.Generator().manual_seed(each), dials) for each in seeds)
    yield "", scene
    if not dial:
        yield "class", replace(scene, labels=other.labels)
    for name, factor in FACTORS.items():
        if factor.dial == dial or (not dial and DIALS[factor.dial] > 0):
            yield name, scene.moved(**{name: other.factors[name]})


def _factor_changes(
    gauge: Callable[[Tensor], dict[str, ndarray]], size: int, samples: int, seed: int
) -> Iterator[tuple[str, Changes]]:
    for dial in ("", *(name for name, value in DIALS.items() if value == 0)):
        pairs = scene_pairs(samples, seed, dial)
        before = gauge(render(next(pairs)[1], size))
        for name, scene in pairs:
            yield name, compare(before, gauge(render(scene, size)))


def _directions(layer: str, features: Tensor) -> ndarray:
    values = features.double().numpy()
    if not np.isfinite(values).all():
        raise ValueError(f"layer '{layer}' has features that are not finite; train the encoder again")
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _findings(layers: tuple[str, ...], changes: dict[str, Changes], seed: int) -> Findings:
    scores = []
    for layer in layers:
        scores.append(_score(layer, "invariance", np.stack([changes[name][layer] for name in TRANSFORMS]), seed))
        scores += [_score(layer, f"invariance_{name}", change[layer], seed) for name, change in changes.items()]
    return Findings(scores, {"distances": histogram.draw({name: changes[name][layers[-1]] for name in TRANSFORMS})})


def _score(layer: str, metric: str, change: ndarray, seed: int) -> Score:
    """With the bootstrap's percentile interval (Efron 1979), widened where needed so that it holds the value."""
    pictures = change.shape[-1]
    value = float(invariance(change, np.full((1, pictures), 1 / pictures))[0])
    low, high = np.quantile(invariance(change, _resamples(pictures, seed)), [0.025, 0.975])
    return Score(layer, metric, value, min(float(low), value), max(float(high), value))


@lru_cache(maxsize=2)
def _resamples(units: int, seed: int) -> ndarray:
    """(RESAMPLES, units): the share of each unit in a resample with repetitions."""
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=RESAMPLES) / units


def _drawn(images: Samples, samples: int, seed: int) -> Tensor:
    """At most `samples` of the images (N, C, H, W), at random."""
    if images.ndim != 4 or min(images.shape[2:]) < GRID:
        raise NeedsSamples(f"invariance needs pictures of at least {GRID} x {GRID} px; these have shape {images.shape}")
    if len(images) < SMALLEST:
        raise NeedsSamples(f"invariance needs at least {SMALLEST} test pictures; there are {len(images)}")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:samples])
    return torch.from_numpy(np.array(images[chosen]))


def _as_bytes(pictures: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
    """(N, C, H, W) uint8 after a view that takes floats, as uint8 again; computed in batches."""
    parts = (inputs(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH))
    return torch.cat([view(part).mul_(255).round_().to(torch.uint8) for part in parts])
