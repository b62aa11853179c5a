"""What a protocol gets, and what it returns.

A protocol is one file in ssl_models/protocols. It has:

evaluate(representation, *, seed, **settings) -> Findings: deterministic for a given seed.
    It raises errors.DoesNotApply for data or an encoder that it cannot be applied to, such as too few samples; reports
    say so. Any other error is a failure.
NEEDS: the parts of a representation that it uses, of "features", "encoder", "samples", "images", "tracks", "labels",
    "known", "energy" (with "encoder": one that gives an energy) and the kinds of annotations in
    datasets/_common/split.py.
TITLE, READING, HEADLINE, UNITS and others: what a report shows of it, see statement.py.
refuse(**settings), where a wrong setting would otherwise be noticed late: it gets all settings, raises ValueError for
    those that `evaluate` cannot work with, and is called before anything starts. If it has the keyword `there`, it gets
    the run's `layers` too, and raises errors.NoSuchLayer for settings that they cannot meet; () where none are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from ssl_models.errors import NeedsParts, NeedsTruth
from ssl_models.rows import Samples

if TYPE_CHECKING:  # torch must not come with this module, see knn.py
    from ssl_models.encoders.encoder import Encoder


def _features_only(*_: str) -> Any:
    raise NeedsTruth("this representation has features only: no encoder, no images and no annotations")


@dataclass(frozen=True)
class Score:
    """One number with its interval. low, high: the 95 % interval.

    layer: "" for a number that is not of one layer, or one of baselines.BASELINES.
    """

    layer: str
    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Findings:
    """What a protocol found.

    scores: each (layer, metric) once. pictures: name -> (H, W, 3) uint8, shown in the report.
    tables: name -> column -> values, all columns of the same length; the report shows them as they are.
    curves: name -> column -> values, all columns of the same length. The report draws the second against the first.
    notes: sentences on this representation that its numbers do not say, such as that it has collapsed.
    """

    scores: list[Score]
    pictures: dict[str, ndarray] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    tables: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Representation:
    """A frozen representation of two splits. Each part is read only when a protocol asks for it.

    split is "train" or "test" everywhere; N samples, D features.

    layers: names from first to last, ending with "pooled", the encoder's own output.
    features(split, layer) -> (N, D) float array (may be memory-mapped).
    labels(split) -> (N,) int64; raises NeedsLabels where the data have none.
    classes: how many there are, and class_names what they are called. point_names: of truth(split, "points").
    encoder() -> a new copy of the encoder that made the features, on the CPU, free to be trained.
    samples(split) -> part of a sample -> (N, ...) as stored: an array, or rows of a file (ssl_models/rows.py).
    known: what the reader tells of the data, e.g. `words` and `rate`, see datasets/_common/split.py.
    label_sets: further sets of labels -> the names of their classes; truth(split, "labels.NAME") -> (N,) int64.
    files(split) -> the name of each sample's file; empty where they are not known.
    truth(split, kind) -> annotations as datasets.split.Split holds them, an array or rows of a file; raises NeedsTruth
        where there are none.
    truth(split, "factors") -> name -> (N,) or (N, 2) of the factors that made the samples, angles as cosine and sine.
    truth(split, "clusters") -> (N,) int64: the pseudo-label that a refit gives to each sample.
    precision: "bf16", "float32" or "auto", in which an encoder is to be run.
    """

    layers: tuple[str, ...]
    features: Callable[[str, str], ndarray]
    labels: Callable[[str], ndarray]
    classes: int
    class_names: tuple[str, ...] = ()
    point_names: tuple[str, ...] = ()
    encoder: Callable[[], Encoder] = _features_only
    samples: Callable[[str], Mapping[str, Samples]] = _features_only
    truth: Callable[[str, str], Any] = _features_only
    precision: str = "auto"
    known: Mapping[str, Any] = field(default_factory=dict)
    label_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Callable[[str], Sequence[str]] = lambda _: ()

    def images(self, split: str) -> Samples:
        """(N, C, H, W) uint8, an array or rows of a file. Raises NeedsParts for samples without pictures."""
        parts = self.samples(split)
        if "images" not in parts:
            raise NeedsParts(("images",), parts, "the protocol")
        return parts["images"]
