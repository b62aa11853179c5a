"""BYOL: a view's projection predicts that of the other view by a slowly moving teacher (Grill et al. 2020).

arXiv:2006.07733. There are no negatives. That all vectors be the same would be the least loss; the teacher, which
gradients do not reach, and the predictor keep training away from there (section 3.2).
"""

from __future__ import annotations

from torch import Tensor, nn

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import centred, mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.decorrelation import cosine
from ssl_models.teacher import Teacher, momentum_at
from ssl_models.views.augmentation import Augmentation


class BYOL(JointEmbedding):
    """The squared distance of normalised prediction and target, 2 - 2 cos (eq. 2), of both orders of the views.

    It has no chance level: 4 for vectors at right angles, and 0 at the best. Whether the vectors have collapsed is
    measured while it trains.

    The paper trains with batches of 4,096, LARS with a learning rate of 0.2 * B / 256 and a weight decay of 1.5e-6, for
    1,000 epochs.

    teacher_momentum: share of the teacher's weights that stays at a step, at the start of the training. Default 0.98.
        Paper 0.996. 1 / (1 - momentum) steps should be below the number of steps.
    teacher_momentum_end: the same at the end, which is reached by half a cosine. Default 1. Paper 1.
    hidden: width of the hidden layers of projector and predictor. Default 256. Paper 4,096.
    projection: outputs of both. Default 64. Paper 256.
    centre: whether a batch normalisation ends the projector, see PIRL. Default True. Paper: no.
    hue: see Augmentation. Default 0.1. Paper 0.1.
    solarise: that of the second view, see Augmentation. Default 0.2. Paper 0.2.
    smallest_crop, flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of both views. Default 0, since it is less than half a pixel wide below 64 px. Paper 1 for the first view and
        0.1 for the second.
    """

    reference = "Grill et al. 2020, arXiv:2006.07733"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        teacher_momentum: float = 0.98,
        teacher_momentum_end: float = 1.0,
        hidden: int = 256,
        projection: int = 64,
        centre: bool = True,
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
        require_positive(hidden=hidden, projection=projection)
        require_fraction(teacher_momentum=teacher_momentum, teacher_momentum_end=teacher_momentum_end)
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, solarise=solarise)
        self.momenta = teacher_momentum, teacher_momentum_end
        self.projector = centred(mlp(encoder.dim, hidden, projection), projection, centre)
        self.predictor = mlp(projection, hidden, projection)
        self.teacher = Teacher(self.network())

    def network(self) -> nn.Sequential:
        """Encoder and projector, which the teacher follows."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Eq. 2 for the second view's target, and for the first's."""
        network = self.network()
        predictions = [self.predictor(network(view)) for view in views]  # (B, projection) each
        targets = [self.teacher(view) for view in views]
        similar = cosine(predictions[0], targets[1]) + cosine(predictions[1], targets[0])
        return {"loss": 4 - 2 * similar}

    def after_step(self, handed_over: None, progress: float) -> None:  # noqa: ARG002
        """Moves the teacher (eq. 1)."""
        self.teacher.update(self.network(), momentum_at(*self.momenta, progress))


METHOD = BYOL
