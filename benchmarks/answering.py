"""What a small classifier finds out from part of what a pretext task shows, on clips that it has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from numpy import ndarray

from ssl_models.data import DataSpec
from ssl_models.datasets._common.split import Split
from ssl_models.encoders import encoder_class
from ssl_models.hardware import pick_device
from ssl_models.method import Method, Scored, method_class
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.trainer import Settings, Training

BATCH = 64
STEPS = 60
"""Passes over the data, at most."""


@dataclass(frozen=True)
class Answer:
    """How often an answer is right: over all clips with its 95 % interval, and in each group of clips."""

    what: str
    share: float
    low: float
    high: float
    groups: tuple[float, ...] = ()


def answered(what: str, right: ndarray, groups: Sequence[ndarray] = ()) -> Answer:
    """right: (N,) the share of each clip's questions that is answered rightly. groups: (N,) bool, each a group."""
    low, high = bootstrap(lambda units: float(right[units].mean()), len(right), seed=0)
    return Answer(what, float(right.mean()), low, high, tuple(float(right[group].mean()) for group in groups))


def learnt(train: ndarray, labels: ndarray, test: ndarray) -> ndarray:
    """(M,) bool: the answers for `test` (M, D) of a small network that learnt from `train` (N, D).

    labels: (N,) bool; as many of both are shown to it. Not trees: each frame and each sound is in one true and in one
    false pair, so that no feature tells anything by itself, and a tree that asks for one at a time does not begin.
    """
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    few, many = sorted((numpy.flatnonzero(labels), numpy.flatnonzero(~labels)), key=len)
    rows = numpy.concatenate([numpy.resize(few, len(many)), many])
    network = MLPClassifier((64, 64), max_iter=STEPS, early_stopping=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a training that ends before it has converged
        return numpy.asarray(make_pipeline(StandardScaler(), network).fit(train[rows], labels[rows]).predict(test))


def trained(name: str, encoder: str, split: Split, settings: Settings) -> Method:
    """A method with its defaults, trained on a split with a fresh encoder, in evaluation mode on the CPU."""
    kind = method_class(name)
    shapes = {part: tuple(stored.shape[1:]) for part, stored in split.parts.items()}
    data = DataSpec(len(split), shapes, split.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = kind(encoder_class(encoder).from_data(data), data)
    parts = [split.parts[part] for part in method.parts]
    Training(method, parts, settings, seed=0, device=pick_device(), precision="auto").run()
    return method.cpu().eval()


@torch.inference_mode()
def accuracies(method: Method, split: Split, batch: int) -> ndarray:
    """The method's own accuracy on each batch of a split, in order; a last one of fewer clips is left out."""
    generator, found = torch.Generator().manual_seed(0), []
    for index in torch.arange(len(split) // batch * batch).split(batch):
        views = method.views(*(split.parts[part][index] for part in method.parts), generator)
        found.append(float(Scored.of(method.loss(*views, index=index)).terms["accuracy"]))
    return numpy.array(found)
