"""What the protocols that fine-tune an encoder on labels share: settings, labels, one training and its class scores.

Legend: N samples, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.errors import NeedsSamples
from ssl_models.methods.supervised import Supervised
from ssl_models.protocols._common import adaptation
from ssl_models.protocols._common.checks import checked_labels
from ssl_models.protocols._common.score import Representation
from ssl_models.rows import chosen
from ssl_models.trainer import Settings

WARMUP = 0.1
"""Share of a training in which the learning rate rises."""


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned. The learning rate is that of encoder and head, for a batch of 256.

    Raises ValueError for a value out of range.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    optimizer: str
    weight_decay: float
    smallest_crop: float
    flip: float

    def __post_init__(self) -> None:
        require_fraction(smallest_crop=self.smallest_crop, flip=self.flip)
        require_positive(smallest_crop=self.smallest_crop)
        self.training()

    def training(self) -> Settings:
        """The settings of the training loop."""
        return Settings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_epochs=WARMUP * self.epochs,
        )


def read_labels(representation: Representation) -> dict[str, ndarray]:
    """Split -> labels (N,) int64, one for each sample; every class of the test split is in the training split.

    Raises NeedsLabels (from the representation), NeedsSamples for a class that no training sample shows, ValueError for
    labels that do not fit the samples.
    """
    labels = {split: checked_labels(representation, split) for split in ("train", "test")}
    for split, found in labels.items():
        if (samples := len(next(iter(representation.samples(split).values())))) != len(found):
            raise ValueError(f"there are {len(found)} {split} labels for {samples} {split} samples; give one for each")
    if len(unseen := np.setdiff1d(labels["test"], labels["train"])):
        names = [representation.class_names[k] if representation.class_names else f"class {k}" for k in unseen]
        raise NeedsSamples(
            f"no training sample shows {', '.join(names)}, which the test split holds; add training samples "
            "of them or take them out of the test split"
        )
    return labels


def class_scores(
    representation: Representation, rows: ndarray, labels: ndarray, recipe: Recipe, *, seed: int
) -> ndarray:
    """(N, K) float32 logits of the test samples, from the encoder and a linear head trained on some training samples.

    rows: indices of the training samples, ascending. labels: their labels. The head starts at zero, as in BiT
    (Kolesnikov et al. 2020, arXiv:1912.11370, section 3.3). The first step then changes the head only, and a random
    head does not disturb the encoder.
    """
    samples, test = representation.samples("train"), representation.samples("test")
    shapes = {part: stored.shape[1:] for part, stored in samples.items()}
    data = DataSpec(len(rows), shapes, torch.from_numpy(labels), representation.classes)
    method = Supervised(representation.encoder(), data, smallest_crop=recipe.smallest_crop, flip=recipe.flip)
    nn.init.zeros_(method.head.weight)
    nn.init.zeros_(method.head.bias)
    names: tuple[str, ...] = method.parts
    drawn = [samples[part] if len(rows) == len(samples[part]) else chosen(samples[part], rows) for part in names]
    adaptation.train(method, drawn, recipe.training(), seed=seed, precision=representation.precision)
    method.eval()

    def network(*batch: Tensor) -> Tensor:
        return method.head(method.encoder(*batch))

    read = [test[part] for part in names]
    return np.asarray(adaptation.outputs(network, *read, precision=representation.precision))
