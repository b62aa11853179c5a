"""MoCo v3: a view's prediction finds the key of the other view in the batch, by a slow teacher (Chen et al. 2021).

arXiv:2104.02057. The queue of MoCo is gone, since large batches have negatives enough; a predictor and both orders of
the views came from BYOL. It is made for vision transformers, whose random patch embedding it leaves as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.vit import ViT
from ssl_models.heads import mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.contrastive import info_nce_chance, info_nce_in_batch, unit
from ssl_models.method import Scored
from ssl_models.teacher import Teacher, momentum_at
from ssl_models.views.augmentation import Augmentation


class MoCoV3(JointEmbedding):
    """InfoNCE of predictions against the teacher's keys of the batch (eq. 1), times 2 temperature, of both orders.

    Chance is 4 temperature log(B), and depends on the batch.

    The paper trains with batches of 4,096: ViT with AdamW, a learning rate of 1.5e-4 * B / 256 and a weight decay of
    0.1, for 300 epochs; ResNet-50 with LARS, 0.3 * B / 256 and 1.5e-6.

    temperature: divides the cosine similarities. Default 0.2. Paper 0.2 for ViT, and 1 for ResNet-50.
    teacher_momentum: share of the teacher's weights that stays at a step, at the start of the training. Default 0.9.
        Paper 0.99. 1 / (1 - momentum) steps should be well below the number of steps.
    teacher_momentum_end: the same at the end, which is reached by half a cosine. Default 1. Paper 1.
    freeze_patches: whether the patch embedding of the encoder `vit` stays as it was initialised, for stability (section
        4.2); all other encoders are trained as a whole. Default True. Paper: yes.
    hidden: width of the hidden layers of projector and predictor. The projector has two of them for the encoder `vit`
        and one for others, as the authors' code has it for ViT and for ResNet-50. Default 256. Paper 4,096.
    projection: outputs of both. Default 64. Paper 256.
    hue: see Augmentation. Default 0.1. Paper 0.1.
    solarise: that of the second view, see Augmentation. Default 0.2. Paper 0.2.
    smallest_crop, flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of both views. Default 0, since it is less than half a pixel wide below 64 px. Paper 1 for the first view and
        0.1 for the second.
    """

    reference = "Chen et al. 2021, arXiv:2104.02057"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        temperature: float = 0.2,
        teacher_momentum: float = 0.9,
        teacher_momentum_end: float = 1.0,
        freeze_patches: bool = True,
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
        require_fraction(teacher_momentum=teacher_momentum, teacher_momentum_end=teacher_momentum_end)
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, solarise=solarise)
        self.temperature, self.momenta = temperature, (teacher_momentum, teacher_momentum_end)
        if freeze_patches and isinstance(encoder, ViT):
            encoder.patch_embed.requires_grad_(False)
        inner = [hidden] * (2 if isinstance(encoder, ViT) else 1)
        self.projector = mlp(encoder.dim, *inner, projection, norm_last=True)
        self.predictor = mlp(projection, hidden, projection, norm_last=True)
        self.teacher = Teacher(self.network())

    def network(self) -> nn.Sequential:
        """Encoder and projector, which the teacher follows."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The loss, and how often a prediction's nearest key is that of its own picture (only logged)."""
        network = self.network()
        queries = [unit(self.predictor(network(view))) for view in views]  # (B, projection) each
        keys = [unit(self.teacher(view)) for view in views]
        pairs = zip(queries, reversed(keys), strict=True)
        losses, accuracies = zip(*(info_nce_in_batch(*pair, self.temperature) for pair in pairs), strict=True)
        scale = 2 * self.temperature
        terms = {"loss": scale * torch.stack(losses).sum(), "accuracy": torch.stack(accuracies).mean()}
        return Scored(terms, chance=2 * scale * info_nce_chance(len(index) - 1))

    def after_step(self, handed_over: None, progress: float) -> None:  # noqa: ARG002
        """Moves the teacher."""
        self.teacher.update(self.network(), momentum_at(*self.momenta, progress))


METHOD = MoCoV3
