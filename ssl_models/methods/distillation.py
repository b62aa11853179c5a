"""Distillation: a fresh encoder learns the outputs of a teacher (Hinton et al. 2015, arXiv:1503.02531).

A label names one class; the teacher's probabilities also tell which classes resemble each other. Distillation is a
control for ClusterFit (Yan et al. 2020, arXiv:1912.03330). Both refit a fresh network to a trained one. Distillation
stays in the space of the teacher's classes, and clusters do not. Label smoothing is its simplest form: a teacher that
finds all other classes equally likely.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsLabels
from ssl_models.method import Method
from ssl_models.modalities import mild_views
from ssl_models.modalities.image import MildViews


class Distillation(Method):
    """The sum `(1 - hard_weight) * soft + hard_weight * hard`, for a linear classifier on the encoder.

    soft is `distillation_loss` on the teacher's logits. hard is the cross entropy of data.labels at temperature 1. In a
    refit, data.labels are the decisions of its source, and not the labels of the data set.

    Chance is the loss of equal logits: temperature^2 * (log K - mean entropy of p), and log K for the hard part. A
    picture has one row of logits, however its view is cropped.

    Raises ValueError where the data have no teacher's logits, NeedsLabels where hard_weight is over 0 without labels.

    temperature: divides the logits of teacher and student. Default 4. Paper: above 8 there is little difference where
        the student is wide; 2.5 to 4 is best for a very narrow one.
    hard_weight: weight of the hard part, 0 for soft targets alone. Default 0. Paper: best where it is "considerably
        lower".
    smallest_crop, flip, jitter_strength, jitter_hue: of pictures, see MildViews. Views of other kinds are those of
        their file in modalities/.
    """

    family = "refit"
    parts: tuple[str, ...] = ()  # whatever the encoder reads
    reference = "Hinton et al. 2015, arXiv:1503.02531"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        temperature: float = 4.0,
        hard_weight: float = 0.0,
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
        jitter_strength: float = MildViews.jitter_strength,
        jitter_hue: float = MildViews.jitter_hue,
    ) -> None:
        super().__init__(encoder)
        require_fraction(hard_weight=hard_weight)
        require_positive(temperature=temperature)
        targets = required_targets(data)  # (N, K)
        classes = targets.shape[1]
        self.temperature, self.hard_weight = temperature, hard_weight
        self.parts = encoder.reads(data.shapes)
        self.mild_views = mild_views(
            encoder.modalities,
            [data.shapes[part] for part in self.parts],
            smallest_crop=smallest_crop,
            flip=flip,
            jitter_strength=jitter_strength,
            jitter_hue=jitter_hue,
        )
        self.head = nn.Linear(encoder.dim, classes)
        self.targets: Tensor
        self.labels: Tensor | None
        self.register_buffer("targets", targets, persistent=False)
        self.register_buffer("labels", required_labels(data, classes) if hard_weight else None, persistent=False)
        soft = float(distillation_loss(torch.zeros(1, classes), targets, temperature))
        self.chance = (1 - hard_weight) * soft + hard_weight * math.log(classes)

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """Each part that the encoder reads -> one mild view of the same shape, e.g. a crop and a flip of a picture."""
        *parts, generator = parts_and_generator
        return tuple(view(part, generator) for view, part in zip(self.mild_views, parts, strict=True))

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The weighted parts, and how often student and teacher have the same first class (only logged)."""
        logits = self.head(self.encoder(*views)).float()  # (B, K)
        targets = self.targets[index]
        terms = {
            "soft": (1 - self.hard_weight) * distillation_loss(logits, targets, self.temperature),
            "accuracy": (logits.detach().argmax(1) == targets.argmax(1)).float().mean(),
        }
        if self.labels is not None:
            terms["hard"] = self.hard_weight * functional.cross_entropy(logits, self.labels[index])
        return terms

    def classifier(self) -> nn.Linear:
        """(B, dim) -> (B, K): the student's logits of the teacher's classes."""
        return self.head


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Logits (B, K) of each -> temperature^2 * KL(p || q), averaged over B, a scalar; the student's may be (1, K).

    p and q are the softmax of teacher / temperature and student / temperature. The paper's loss is the cross entropy of
    p and q: this plus the entropy of p, which does not depend on the student. The gradients are the same, and the
    minimum is 0 here. Gradients shrink as 1 / temperature^2; the factor compensates for that (Hinton et al. 2015,
    section 2).
    """
    expected = (teacher / temperature).log_softmax(1)
    found = (student / temperature).log_softmax(1).expand_as(expected)
    return temperature**2 * functional.kl_div(found, expected, reduction="batchmean", log_target=True)


def required_targets(data: DataSpec) -> Tensor:
    """The teacher's logits (N, K) in float32. Raises ValueError where there are none, or invalid ones."""
    targets = data.targets
    if targets is None:
        raise ValueError(
            "the method 'distillation' needs a teacher's logits, and these data have none: it is a refit, and belongs "
            "under clusterfit in params.yaml, with `method: distillation` and `outputs`"
        )
    if targets.ndim != 2 or targets.shape[1] < 2 or len(targets) != data.samples:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}; distillation needs one row of at least 2 logits for each of "
            f"{data.samples} samples"
        )
    if not targets.isfinite().all():
        raise ValueError("targets must be finite logits; a teacher that has diverged cannot be distilled")
    return targets.float()


def required_labels(data: DataSpec, classes: int) -> Tensor:
    """The labels of the data (N,). Raises where there are none, or where they are not among the teacher's classes."""
    if data.labels is None:
        raise NeedsLabels("hard_weight of the method 'distillation' needs labels, and these data have none")
    if len(data.labels) != data.samples:
        raise ValueError(f"there are {len(data.labels)} labels for {data.samples} samples; give one for each")
    if int(data.labels.min()) < 0 or int(data.labels.max()) >= classes:
        raise ValueError(f"labels must lie in 0 .. {classes - 1} for a teacher of {classes} classes")
    return data.labels.long()


METHOD = Distillation
