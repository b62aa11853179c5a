"""SimSiam: a view's projection predicts that of the other view, which is held constant (Chen & He 2021).

arXiv:2011.10566. BYOL without a teacher: the stop-gradient alone, with the predictor, keeps the vectors from becoming
all the same (section 4.1 and 4.2). Without one of the two they do.
"""

from __future__ import annotations

from torch import Tensor, nn

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.decorrelation import cosine
from ssl_models.views.augmentation import Augmentation


class SimSiam(JointEmbedding):
    """The negative cosine of prediction and target, the mean of both orders of the views (eq. 2 and 4).

    It has no chance level: 0 for vectors at right angles, and -1 at the best. Whether the vectors have collapsed is
    measured while it trains.

    The paper trains with batches of 512, SGD with a learning rate of 0.05 * B / 256 and a weight decay of 1e-4, for 100
    epochs. The predictor's rate is constant there; here it falls like all others.

    hidden: width of the projector's two hidden layers. Default 256. Paper 2,048.
    projection: outputs of projector and predictor. Default 256. Paper 2,048.
    predictor: width of the predictor's hidden layer; 0 for none, which collapses (table 1a). Default 256: without a
        bottleneck it learns in hundreds of steps. Paper 512, a quarter of the projection.
    stop_gradient: whether the target is held constant; without that it collapses (figure 2). Default True. Paper: yes.
    hue: see Augmentation. Default 0.1. Paper 0.1.
    solarise: that of the second view, see Augmentation. Default 0. Paper: not there.
    smallest_crop, flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of both views. Default 0, since it is less than half a pixel wide below 64 px. Paper 0.5.
    """

    reference = "Chen & He 2021, arXiv:2011.10566"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        hidden: int = 256,
        projection: int = 256,
        predictor: int = 256,
        stop_gradient: bool = True,
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float = Augmentation.blur,
        solarise: float = Augmentation.solarise,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        require_positive(hidden=hidden, projection=projection)
        if predictor < 0:
            raise ValueError(f"predictor is {predictor}; it must be at least 1, or 0 for none")
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, solarise=solarise)
        self.stop_gradient = stop_gradient
        self.projector = mlp(encoder.dim, hidden, hidden, projection, norm_last=True)
        self.predictor: nn.Module = mlp(projection, predictor, projection) if predictor else nn.Identity()

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Eq. 4, with the stop-gradient of eq. 3."""
        projections = [self.projector(self.encoder(view)) for view in views]  # (B, projection) each
        predictions = [self.predictor(projection) for projection in projections]
        if self.stop_gradient:
            projections = [projection.detach() for projection in projections]
        similar = cosine(predictions[0], projections[1]) + cosine(predictions[1], projections[0])
        return {"loss": -similar / 2}


METHOD = SimSiam
