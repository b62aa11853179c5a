"""Supervised training: cross entropy on labels. The reference in every table, and ClusterFit's refit.

ClusterFit (Yan et al. 2020, arXiv:1912.03330, section 3) trains its second network with plain cross entropy on cluster
ids. That is this method, with `data.labels` from a clustering.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsLabels
from ssl_models.method import Method
from ssl_models.modalities import mild_views
from ssl_models.modalities.image import MildViews


class Supervised(Method):
    """A linear classifier on the encoder. Chance is log(classes).

    Raises NeedsLabels where the data have no labels.

    label_smoothing: weight of the uniform distribution in the target (Szegedy et al. 2016, arXiv:1512.00567). Default
        0. Szegedy et al. take 0.1.
    smallest_crop, flip, jitter_strength, jitter_hue: of pictures, see MildViews. Views of other kinds are those of
        their file in modalities/.
    label_noise: share of the training labels that are replaced by a wrong one, see `noisy_labels`. The logged accuracy
        is then that of the noisy labels. Default 0. ClusterFit's experiment on noise in labels goes from 0 to 0.75.
    label_noise_seed: decides which labels are replaced, and by which. Default 0. Own.
    """

    family = "control"
    parts: tuple[str, ...] = ()  # whatever the encoder reads
    reference = ""
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        label_smoothing: float = 0.0,
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
        jitter_strength: float = MildViews.jitter_strength,
        jitter_hue: float = MildViews.jitter_hue,
        label_noise: float = 0.0,
        label_noise_seed: int = 0,
    ) -> None:
        super().__init__(encoder)
        require_fraction(label_smoothing=label_smoothing, label_noise=label_noise)
        if data.labels is None:
            raise NeedsLabels(
                "the method 'supervised' needs labels, and these data have none; choose other data or another method"
            )
        if len(data.labels) != data.samples:
            raise ValueError(f"there are {len(data.labels)} labels for {data.samples} samples; give one for each")
        classes = data.classes or int(data.labels.max()) + 1
        if int(data.labels.min()) < 0 or int(data.labels.max()) >= classes:
            raise ValueError(f"labels must lie in 0 .. {classes - 1} for {classes} classes")
        self.parts = encoder.reads(data.shapes)
        self.label_smoothing = label_smoothing
        self.mild_views = mild_views(
            encoder.modalities,
            [data.shapes[part] for part in self.parts],
            smallest_crop=smallest_crop,
            flip=flip,
            jitter_strength=jitter_strength,
            jitter_hue=jitter_hue,
        )
        self.head = nn.Linear(encoder.dim, classes)
        self.labels: Tensor
        labels = noisy_labels(data.labels.long(), classes, label_noise, label_noise_seed)
        self.register_buffer("labels", labels, persistent=False)
        self.chance = math.log(classes)

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """Each part that the encoder reads -> one mild view of the same shape, e.g. a crop and a flip of a picture."""
        *parts, generator = parts_and_generator
        return tuple(view(part, generator) for view, part in zip(self.mild_views, parts, strict=True))

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the labels of samples `index`, and the accuracy (only logged)."""
        logits = self.head(self.encoder(*views))  # (B, classes)
        labels = self.labels[index]
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": accuracy}

    def classifier(self) -> nn.Linear:
        """(B, dim) -> (B, classes): the logits of data.labels, noise and all."""
        return self.head


def noisy_labels(labels: Tensor, classes: int, share: float, seed: int) -> Tensor:
    """(N,) int64 labels, of which exactly round(share * N) are replaced by a class drawn uniformly from the others.

    The uniform noise of ClusterFit's experiment (Yan et al. 2020, arXiv:1912.03330). A replaced label is always wrong,
    so `share` is the share of wrong labels. At 1 - 1 / classes the labels tell nothing. The same seed gives the same
    labels; a larger share keeps all replacements of a smaller one.
    """
    if share == 0:
        return labels
    if classes < 2:
        raise ValueError(f"label_noise is {share}; it takes at least 2 classes to have a wrong label, not {classes}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    step = torch.randint(1, classes, (len(labels),), generator=generator)  # never 0: another class
    changed = order[: round(share * len(labels))]
    noisy = labels.clone()
    noisy[changed] = (labels[changed] + step[changed]) % classes
    return noisy


METHOD = Supervised
