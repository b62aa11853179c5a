"""Barlow Twins: the numbers of two views agree, and different numbers say different things (Zbontar et al. 2021).

arXiv:2103.03230. The cross-correlation of the two views' projections over the batch should be the identity. A collapsed
network has no such correlation, so neither negatives nor a teacher, a predictor or a stop-gradient is needed.
"""

from __future__ import annotations

from torch import Tensor

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.decorrelation import barlow_twins
from ssl_models.views.augmentation import Augmentation


class BarlowTwins(JointEmbedding):
    """The squared distance of the cross-correlation from the identity (eq. 1), divided by the number of outputs.

    It has no chance level: 1 for views that have nothing to do with each other, besides what the correlations of a
    finite batch add, and 0 at the best. Whether the vectors have collapsed is measured while it trains. The paper's
    loss is not divided; its code scales it by 0.024 instead.

    The paper trains with batches of 2,048, LARS with a learning rate of 0.2 * B / 256 and a weight decay of 1.5e-6, for
    1,000 epochs.

    redundancy: lambda, weight of what lies beside the diagonal. Default 0.005. Paper 0.005.
    hidden: width of the projector's two hidden layers. Default 512. Paper 8,192.
    projection: outputs of the projector; more are better (figure 4). Default 512. Paper 8,192.
    hue: see Augmentation. Default 0.1. Paper 0.1.
    solarise: that of the second view, see Augmentation. Default 0.2. Paper 0.2.
    smallest_crop, flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of both views. Default 0, since it is less than half a pixel wide below 64 px. Paper 1 for the first view and
        0.1 for the second.
    """

    reference = "Zbontar et al. 2021, arXiv:2103.03230"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        redundancy: float = 0.005,
        hidden: int = 512,
        projection: int = 512,
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
        require_positive(redundancy=redundancy, hidden=hidden, projection=projection)
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, solarise=solarise)
        self.redundancy, self.outputs = redundancy, projection
        self.projector = mlp(encoder.dim, hidden, hidden, projection)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The part of the diagonal, and that of what lies beside it."""
        first, second = (self.projector(self.encoder(view)) for view in views)  # (B, projection) each
        diagonal, beside = barlow_twins(first, second, self.redundancy)
        return {"invariance": diagonal / self.outputs, "redundancy": beside / self.outputs}


METHOD = BarlowTwins
