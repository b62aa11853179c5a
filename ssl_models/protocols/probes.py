"""A linear classifier on frozen features for each set of labels: what else the features tell, such as the speaker.

Legend: N samples, D features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy import ndarray

from ssl_models.errors import NeedsTruth
from ssl_models.protocols._common.baselines import MFCC
from ssl_models.protocols._common.checks import checked_label_set, checked_layers, shared_sources
from ssl_models.protocols._common.intervals import proportion
from ssl_models.protocols._common.mfcc import pooled_mfcc
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._linear.classifier import WEIGHT_DECAYS, Fitting, logits
from ssl_models.protocols._linear.standardised import Standardised, standardised_rows

NEEDS = ("features", "samples", "labels.X")
TITLE = "probes"
READING = (
    "One linear classifier a layer and set of labels, such as the word and the speaker, on the same frozen features: "
    "what they hold, and what they have let go. For sound, mfcc is the classical features of speech in the same test."
)
HEADLINE = "top1_*"
UNITS = {"top1_*": "share"}


def evaluate(
    representation: Representation,
    *,
    seed: int,
    layers: str | list[str] = "all",
    weight_decays: list[float] = WEIGHT_DECAYS,
    iterations: int = 100,
) -> Findings:
    """top1_X of a linear classifier for each set of labels X and each of `layers`, with its 95 % Wilson interval.

    The classifiers are those of linear.py. Sets come in the order of the data; the first is the headline. For samples
    of sound the row "mfcc" comes first: mean and deviation over time of 13 mel-frequency cepstral coefficients and
    their deltas, computed from the samples. It does not depend on the encoder.

    van den Oord et al. 2018 (arXiv:1807.03748, table 1) classify 251 speakers of LibriSpeech by a linear classifier on
    the context: random weights 1.87 %, mfcc 17.6 %, contrastive predictive coding 97.4 %, supervised 98.5 %.

    layers: "all", or some of their names. weight_decays, iterations: as in linear.py.
    Raises NeedsTruth for data without sets of labels, NeedsSamples for a single training sample, ValueError for
    settings or features out of range.
    """
    names = list(representation.layers) if layers == "all" else checked_layers(layers, representation.layers)
    fitting = Fitting(weight_decays, iterations, seed)
    sets = representation.label_sets
    if not sets:
        raise NeedsTruth("these data have no sets of labels besides their classes")
    labels = {
        split: {name: checked_label_set(representation, split, name) for name in sets} for split in ("train", "test")
    }
    samples = len(next(iter(labels["train"].values())))
    held_out = fitting.hold_out(samples)
    targets = [(torch.from_numpy(labels["train"][name]), len(classes)) for name, classes in sets.items()]
    scores, sources = list[Score](), shared_sources(representation)
    for layer, stored, test_stored in _rows(representation, names):
        train = standardised_rows(stored, layer, samples)
        test = Standardised(test_stored, train.mean, train.deviation)
        for name, solution in zip(sets, fitting.solutions(train, targets, held_out), strict=True):
            scores.append(_top1(layer, name, logits(test, solution), labels["test"][name], sources))
    return Findings(scores)


def _rows(representation: Representation, layers: list[str]) -> Iterator[tuple[str, ndarray, ndarray]]:
    """Each row's name and its features (N, D) of both splits: for sound the cepstral ones, then the layers'."""
    try:
        samples = {split: representation.samples(split) for split in ("train", "test")}
    except NeedsTruth:  # features are all that is known
        samples = {}
    if samples and all("sound" in parts for parts in samples.values()):
        rate = int(representation.known["rate"])
        pooled = []
        for parts in samples.values():
            lengths = np.asarray(parts["length"])[:, 0] if "length" in parts else None
            pooled.append(pooled_mfcc(parts["sound"], rate, lengths))
        yield MFCC, pooled[0], pooled[1]
    for layer in layers:
        yield layer, representation.features("train", layer), representation.features("test", layer)


def _top1(layer: str, name: str, answers: ndarray, labels: ndarray, sources: ndarray | None) -> Score:
    """Of equal answers (N, K) the class with the lower index comes first."""
    if len(answers) != len(labels):
        raise ValueError(f"layer '{layer}' has {len(answers)} test samples and {len(labels)} test labels")
    if not np.isfinite(answers).all():
        raise ValueError(f"layer '{layer}': class scores that are not finite cannot be ranked")
    return proportion(layer, f"top1_{name}", answers.argmax(1) == labels, sources)
