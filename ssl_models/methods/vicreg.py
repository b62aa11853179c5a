"""VICReg: two views agree, each number varies over the batch, and different numbers do not covary (Bardes et al. 2022).

arXiv:2105.04906. Each of the three has a term of its own. The variance term alone prevents that all vectors become the
same, the covariance term that all numbers say the same.
"""

from __future__ import annotations

from torch import Tensor

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.decorrelation import vicreg
from ssl_models.views.augmentation import Augmentation


class VICReg(JointEmbedding):
    """`invariance * s + variance * v + covariance * c` (eq. 6), whose terms are `losses.decorrelation.vicreg`.

    It has no chance level: 0.99 `variance` for projections that are all the same, and 0 at the best. Whether the
    vectors have collapsed is measured while it trains.

    The paper trains with batches of 2,048, LARS with a learning rate of 0.2 * B / 256 and a weight decay of 1e-6, for
    1,000 epochs.

    invariance: weight of the distance of the views. Default 25. Paper 25.
    variance: weight of the hinge on the deviation; with 0 the projections collapse (table 7). Default 25. Paper 25.
    covariance: weight of the covariances. Default 1. Paper 1.
    hidden: width of the projector's two hidden layers. Default 512. Paper 8,192.
    projection: outputs of the projector. Default 512. Paper 8,192.
    hue: see Augmentation. Default 0.1. Paper 0.1.
    solarise: that of the second view, see Augmentation. Default 0.2. Paper 0.1 for both views.
    smallest_crop, flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of both views. Default 0, since it is less than half a pixel wide below 64 px. Paper 0.5.
    """

    reference = "Bardes et al. 2022, arXiv:2105.04906"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
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
        require_positive(invariance=invariance, hidden=hidden, projection=projection)
        for name, value in (("variance", variance), ("covariance", covariance)):
            if value < 0:
                raise ValueError(f"{name} is {value}; it must be at least 0")
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, solarise=solarise)
        self.weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
        self.projector = mlp(encoder.dim, hidden, hidden, projection)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The three weighted terms."""
        found = vicreg(*(self.projector(self.encoder(view)) for view in views))
        return {name: weight * term for (name, weight), term in zip(self.weights.items(), found, strict=True)}


METHOD = VICReg
