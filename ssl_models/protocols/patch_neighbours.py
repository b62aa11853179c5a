"""Nearest patches of other pictures: whether they show a part of the same thing, or only the same place of a picture.

Doersch, Gupta & Efros 2015 (arXiv:1505.05192), section 4.1 and figure 4, show the nearest patches of a network that has
learnt the relative position of patches, of an untrained one, and of one that has learnt the classes of ImageNet.
Legend: N pictures, P patches of each, Q queries, k neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from ssl_models.bounds import require_fraction
from ssl_models.encoders.shapes import require_input
from ssl_models.errors import DoesNotApply, NeedsLabels
from ssl_models.hardware import pick_device, place
from ssl_models.previews import coloured
from ssl_models.protocols._common.adaptation import outputs
from ssl_models.protocols._common.checks import checked_labels
from ssl_models.protocols._common.neighbour_rows import SHOWN, drawn, sheet
from ssl_models.protocols._common.pieces import RANKS, Pieces, counted, nearest_apart, shares
from ssl_models.protocols._common.score import Findings, Representation
from ssl_models.trainer import derive_seed

NEEDS = ("encoder", "images", "labels")
TITLE = "patch neighbours"
READING = (
    "The nearest patches of other pictures. class: how often their picture has the class of the query's; place: how "
    "often they were cut from the same of five places, by chance 20 %. Patches that are told by their place alone are "
    "near others of that place."
)
EVERY = True
HEADLINE = "class"
UNITS = {"class*": "share", "place*": "share"}
PLACES = ((0.0, 0.0), (0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (1.0, 1.0))
"""Where patches are cut, as shares of the room down and across: the corners and the middle."""
SMALLEST = 4
"""Least side of a patch in pixels."""
BATCH = 64
"""Pictures whose patches are encoded at once."""


def evaluate(representation: Representation, *, seed: int, patch: float = 0.5, samples: int = 1024) -> Findings:
    """class and place of the nearest training patch by cosine, and the same _at_5.

    Five patches of each picture, its corners and its middle, are encoded as pictures of their own; those of the test
    pictures are the queries. The neighbours of a query are the nearest patches of different pictures. class: the share
    of neighbours whose picture has the class of the query's; where there are no labels it is left out. place: the share
    that was cut from the same place. Intervals are by bootstrap over the test pictures.

    patch: side of a patch, as a share of the picture's. Default 0.5. Paper: 96 px.
    samples: the most pictures of each split, drawn with `seed`.

    The picture: eight test patches, one of each class in turn, drawn with `seed`. To the right of each stand its ten
    nearest patches, with a green frame if their picture has the class of the query's and a red one if not.
    Raises DoesNotApply for an encoder that cannot take patches of this size, ValueError for settings out of range.
    """
    refuse(patch=patch, samples=samples)
    draws = np.random.default_rng(derive_seed(seed, "patch_neighbours"))
    sides = {split: _side(representation.images(split).shape[2:], patch) for split in ("train", "test")}
    chosen = {split: _rows(len(representation.images(split)), samples, draws) for split in ("train", "test")}
    gallery, queries = (_encoded(representation, split, chosen[split], sides[split]) for split in ("train", "test"))
    labels = _labels(representation, chosen)
    nearest = nearest_apart(gallery, queries, max(RANKS), draws)
    right = {"place": gallery.place[nearest] == queries.place[:, None]}
    if labels:
        right["class"] = labels["train"][gallery.sample[nearest]] == labels["test"][queries.sample, None]
    scores = [score for name in sorted(right) for score in shares(name, *counted(right[name]), queries.source, seed)]
    return Findings(
        scores, {"neighbours": _picture(representation, gallery, queries, labels, chosen, sides, draws, seed)}
    )


def refuse(*, patch: float, samples: int) -> None:
    """Raises ValueError for settings that `evaluate` cannot work with."""
    require_fraction(patch=patch)
    if patch <= 0:
        raise ValueError(f"patch is {patch}; it must be above 0")
    if not isinstance(samples, int) or samples < 2:
        raise ValueError(f"samples = {samples!r} must be a whole number of at least 2")


def _side(size: tuple[int, ...], patch: float) -> int:
    return min(min(size), max(SMALLEST, round(patch * min(size))))


def _rows(count: int, most: int, draws: np.random.Generator) -> ndarray:
    """At most `most` of them, in their order."""
    return np.arange(count) if count <= most else np.sort(draws.permutation(count)[:most])


def _labels(representation: Representation, chosen: dict[str, ndarray]) -> dict[str, ndarray]:
    """Of the chosen pictures of both splits; nothing where there are none."""
    try:
        return {split: checked_labels(representation, split)[rows] for split, rows in chosen.items()}
    except NeedsLabels:
        return {}


def patches_of(pictures: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> (N, P, C, side, side): the patches at PLACES."""
    down, across = (length - side for length in pictures.shape[2:])
    corners = [(round(y * down), round(x * across)) for y, x in PLACES]
    return torch.stack([pictures[:, :, top : top + side, left : left + side] for top, left in corners], 1)


def _encoded(representation: Representation, split: str, rows: ndarray, side: int) -> Pieces:
    """Raises DoesNotApply for an encoder that cannot take patches, ValueError for outputs that are not finite."""
    pictures = np.asarray(representation.images(split)[rows])
    encoder = representation.encoder().eval()
    try:
        require_input(encoder, (pictures.shape[1], side, side), "patches")
    except ValueError as error:
        raise DoesNotApply(str(error)) from error
    place(encoder, pick_device(), channels_last=encoder.convolutional)

    def network(given: Tensor) -> Tensor:
        vectors: Tensor = encoder(patches_of(given, side).flatten(0, 1))
        return vectors.view(len(given), len(PLACES), -1)

    vectors = outputs(network, pictures, precision=representation.precision, batch_size=BATCH).flatten(0, 1)
    if not torch.isfinite(vectors).all():
        raise ValueError(f"the encoder gives {split} vectors that are not finite; train again")
    sample = np.repeat(np.arange(len(pictures)), len(PLACES))
    where = np.tile(np.arange(len(PLACES)), len(pictures))
    return Pieces(sample, where, sample, functional.normalize(vectors))


def _picture(
    representation: Representation,
    gallery: Pieces,
    queries: Pieces,
    labels: dict[str, ndarray],
    chosen: dict[str, ndarray],
    sides: dict[str, int],
    draws: np.random.Generator,
    seed: int,
) -> ndarray:
    """Some queries of different pictures with their neighbours, (H, W, 3) uint8."""
    known = labels["test"] if labels else np.zeros(len(chosen["test"]), np.int64)
    pictures = drawn(known, seed)
    asked = queries.only(pictures * len(PLACES) + draws.integers(len(PLACES), size=len(pictures)))
    rows = nearest_apart(gallery, asked, SHOWN, draws)
    right = labels["train"][gallery.sample[rows]] == labels["test"][asked.sample, None] if labels else None
    stored = {split: representation.images(split) for split in chosen}

    def patch(split: str, pieces: Pieces, row: int) -> ndarray:
        picture = torch.from_numpy(np.array(stored[split][int(chosen[split][pieces.sample[row]])]))[None]
        return coloured(patches_of(picture, sides[split])[0, pieces.place[row]].numpy())

    def query(row: int) -> ndarray:
        return patch("test", asked, row)

    def neighbour(row: int) -> ndarray:
        return patch("train", gallery, row)

    return sheet(query, neighbour, np.arange(len(asked)), rows, right)
