"""A linear classifier on frozen features, layer by layer (Zhang et al. 2016, arXiv:1603.08511; Goyal et al. 2019).

Legend: N samples, D features.
"""

from __future__ import annotations

import torch

from ssl_models.protocols._common.checks import checked_labels, checked_layers, shared_sources
from ssl_models.protocols._common.intervals import accuracies
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._linear.classifier import WEIGHT_DECAYS, Fitting, logits
from ssl_models.protocols._linear.standardised import Standardised, standardised

NEEDS = ("features", "labels")
TITLE = "linear"
READING = (
    "A linear classifier is trained on the frozen features of one layer; its test accuracy says how plainly the "
    "classes lie in that layer. Later layers hold more of what the pretext task asked for."
)
HEADLINE = "top1"
UNITS = {"top1": "share", "top5": "share"}
LEADS = True


def evaluate(
    representation: Representation,
    *,
    seed: int,
    layers: str | list[str] = "all",
    weight_decays: list[float] = WEIGHT_DECAYS,
    iterations: int = 100,
    solver: str = "lbfgs",
) -> Findings:
    """Multinomial logistic regression on each of `layers`: top-1 and top-5 over the test samples, with 95 % intervals.

    Features are standardised by the training mean and deviation, so that one weight decay means the same at any width
    and scale of a layer. Of several weight decays the one with the lowest cross-entropy on a held-out tenth of the
    training samples, drawn with `seed`, is fitted again on all training samples. Test samples have no part in it.

    layers: "all", or some of their names. weight_decays: of `mean cross-entropy + weight_decay / 2 * ||weights||^2`.
    The bias does not decay. scikit-learn's C is 1 / (N * weight_decay). solver: "lbfgs" holds the features of a layer
    in memory, 4 N D bytes. "sgd" reads them in blocks and ends near the same minimum. iterations: the most steps of a
    fit by L-BFGS, or the epochs of SGD. After 20 epochs the top-1 of a layer of many features was 0.8 points below that
    of L-BFGS.
    Raises NoSuchLayer for other layers, NeedsLabels (from the representation), NeedsSamples for a single training
    sample, ValueError for settings or features out of range.
    """
    names = list(representation.layers) if layers == "all" else checked_layers(layers, representation.layers)
    fitting = Fitting(weight_decays, iterations, seed, solver)
    classes = representation.classes
    labels = torch.from_numpy(checked_labels(representation, "train"))
    test_labels = checked_labels(representation, "test")
    held_out = fitting.hold_out(len(labels))
    scores, sources = list[Score](), shared_sources(representation)
    for layer in names:
        train = standardised(representation, layer, len(labels))
        (solution,) = fitting.solutions(train, [(labels, classes)], held_out)
        test = Standardised(representation.features("test", layer), train.mean, train.deviation)
        scores += accuracies(layer, logits(test, solution), test_labels, sources)
    return Findings(scores)
