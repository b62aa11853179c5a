"""NNCLR: what most resembles a view among earlier pictures finds the other view in the batch (Dwibedi et al. 2021).

arXiv:2104.14548. A positive is not only another view of the same picture, but what most resembles it in a queue of
earlier ones. So the method depends less on augmentation than SimCLR.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.contrastive import info_nce_chance, info_nce_in_batch, similarity, unit
from ssl_models.memory import Queue
from ssl_models.method import Scored
from ssl_models.views.augmentation import Augmentation


class NNCLR(JointEmbedding):
    """InfoNCE of the neighbour of one view against the predictions of the other (eq. 3), the mean of both orders.

    Chance is log(B), and depends on the batch.

    The paper trains with batches of 4,096, LARS with a learning rate of 0.3 * B / 256 and a weight decay of 1e-6, for
    1,000 epochs.

    support: earlier projections that the neighbour is looked for among. Default None: a quarter of the samples, at most
        1,024. Paper 98,304. They are random at first, and learnt from when so many pictures have been seen.
    temperature: divides the cosine similarities. Default 0.1. Paper 0.1.
    hidden: width of the hidden layers of projector and predictor. Default 256. Paper 2,048 and 4,096.
    projection: outputs of both. Default 64. Paper 256.
    hue: see Augmentation. Default 0.1. Paper 0.1.
    solarise: that of the second view, see Augmentation. Default 0.2. Paper 0.2.
    smallest_crop, flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of both views. Default 0, since it is less than half a pixel wide below 64 px. Paper 1 for the first view and
        0.1 for the second.
    """

    reference = "Dwibedi et al. 2021, arXiv:2104.14548"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        support: int | None = None,
        temperature: float = 0.1,
        hidden: int = 256,
        projection: int = 64,
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float = Augmentation.blur,
        solarise: float = 0.2,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        require_positive(temperature=temperature, hidden=hidden, projection=projection)
        kept = max(1, min(1024, data.samples // 4)) if support is None else support
        if not 1 <= kept <= data.samples:
            raise ValueError(f"support is {support}; {data.samples} samples allow 1 to that many")
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, solarise=solarise)
        self.temperature = temperature
        self.projector = mlp(encoder.dim, hidden, hidden, projection, norm_last=True)
        self.predictor = mlp(projection, hidden, projection)
        self.support = Queue(kept, projection)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The loss, and how often the prediction most similar to a neighbour is that of its own picture (only logged).

        Hands over the first view's projections (B, projection), of length 1, for the support set.
        """
        projections = [self.projector(self.encoder(view)) for view in views]  # (B, projection) each
        predictions = [unit(self.predictor(each)) for each in projections]
        found = [self.neighbours(unit(each.detach())) for each in projections]
        pairs = zip(found, reversed(predictions), strict=True)
        losses, accuracies = zip(*(info_nce_in_batch(*pair, self.temperature) for pair in pairs), strict=True)
        terms = {"loss": torch.stack(losses).mean(), "accuracy": torch.stack(accuracies).mean()}
        return Scored(terms, handed_over=unit(projections[0].detach()), chance=info_nce_chance(len(index) - 1))

    def neighbours(self, vectors: Tensor) -> Tensor:
        """Unit vectors (B, projection) -> for each the most similar row of the support set (eq. 2)."""
        return self.support.rows[similarity(vectors, self.support.rows).argmax(1)]

    def after_step(self, handed_over: Tensor, progress: float) -> None:  # noqa: ARG002
        """Puts the batch into the support set."""
        self.support.push(handed_over)


METHOD = NNCLR
