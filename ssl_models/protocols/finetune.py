"""The whole network, trained on all labels from this initialisation (Goyal et al. 2019, arXiv:1905.01235)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_models.protocols._common.checks import shared_sources
from ssl_models.protocols._common.intervals import accuracies
from ssl_models.protocols._common.labelled import Recipe, class_scores, read_labels
from ssl_models.protocols._common.score import Findings, Representation
from ssl_models.trainer import derive_seed

NEEDS = ("encoder", "samples", "labels")
TITLE = "fine-tuned"
READING = (
    "The whole network is trained on from this initialisation: what is left of the pretraining once labels for all "
    "samples shape everything."
)
HEADLINE = "top1"
UNITS = {"top1": "share", "top5": "share"}


def evaluate(
    representation: Representation,
    *,
    seed: int,
    epochs: int = 3,
    learning_rate: float = 0.001,
    batch_size: int = 128,
    optimizer: str = "adamw",
    weight_decay: float = 0.05,
    smallest_crop: float = 0.5,
    flip: float = 0.5,
) -> Findings:
    """Top-1 and top-5 over the test samples, each with its 95 % Wilson interval: the encoder and a linear classifier.

    The training is short and its steps are small. In a long training, or with large steps, a random initialisation
    catches up (He et al. 2019, arXiv:1811.08883). The interval covers other test samples, but not other seeds.

    epochs: over all training samples; the first tenth of the steps is a warm-up. learning_rate: of encoder and head,
    for a batch of 256; it scales with the batch. smallest_crop, flip: of the training views, see methods/supervised.py.
    Raises NeedsLabels (from the representation), NeedsSamples for a class of the test split that the training split
    lacks, ValueError for settings out of range and labels that do not fit the samples.
    """
    recipe = Recipe(epochs, learning_rate, batch_size, optimizer, weight_decay, smallest_crop, flip)
    labels = read_labels(representation)
    rows = np.arange(len(labels["train"]))
    logits = class_scores(representation, rows, labels["train"], recipe, seed=derive_seed(seed, "finetune"))
    return Findings(accuracies("", logits, labels["test"], shared_sources(representation)))


def refuse(**settings: Any) -> None:
    """Raises ValueError for settings of `evaluate` that are out of range."""
    Recipe(**{**(evaluate.__kwdefaults__ or {}), **settings})
