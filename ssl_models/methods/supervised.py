"""Supervision: cross entropy on the labels, the yardstick of every table, and the way ClusterFit refits.

ClusterFit (Yan et al. 2020, arXiv:1912.03330, section 3) trains its second network with plain cross entropy on the
cluster ids: the same method, given `data.labels` that a clustering made.
"""

from __future__ import annotations

import math

from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsLabels
from ssl_models.method import DataSpec, Method
from ssl_models.views.bounds import require_fraction, require_positive
from ssl_models.views.geometric import as_float, random_crop_flip


class Supervised(Method):
    """A linear classifier on the encoder. Chance is log(classes).

    label_smoothing: weight of the uniform distribution in the target (Szegedy et al. 2016, arXiv:1512.00567).
    smallest_crop: least area of the random crop, as a fraction (0.08 in the ImageNet recipe of He et al. 2016).
    flip: probability of a left-right flip.
    Raises NeedsLabels where the data have none.
    """

    family = "control"
    reference = ""

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        label_smoothing: float = 0.0,
        smallest_crop: float = 0.5,
        flip: float = 0.5,
    ) -> None:
        super().__init__(encoder)
        require_fraction(label_smoothing=label_smoothing, smallest_crop=smallest_crop, flip=flip)
        require_positive(smallest_crop=smallest_crop)
        if data.labels is None:
            raise NeedsLabels("the method 'supervised' needs labels, and these data have none")
        if len(data.labels) != data.samples:
            raise ValueError(f"there are {len(data.labels)} labels for {data.samples} samples; give one for each")
        classes = data.classes or int(data.labels.max()) + 1
        if int(data.labels.min()) < 0 or int(data.labels.max()) >= classes:
            raise ValueError(f"labels must lie in 0 .. {classes - 1} for {classes} classes")
        self.label_smoothing, self.smallest_crop, self.flip = label_smoothing, smallest_crop, flip
        self.head = nn.Linear(encoder.dim, classes)
        self.labels: Tensor
        self.register_buffer("labels", data.labels.long(), persistent=False)
        self.chance = math.log(classes)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> one view of the same shape: a mild crop and a flip."""
        return (random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the labels of samples `index`, and the accuracy (only logged)."""
        logits = self.head(self.encoder(views[0]))  # (B, classes)
        labels = self.labels[index]
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": accuracy}


METHOD = Supervised
