"""DINO: views predict a slow teacher's distribution over outputs that nobody has named (Caron et al. 2021).

arXiv:2104.14294. Two things keep the outputs from collapsing, and one alone does not (section 5.3): the teacher's
scores are centred, so that no output is always the first, and sharpened, so that not all are alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.assignment import sharpened, swapped
from ssl_models.method import Scored
from ssl_models.teacher import Teacher, momentum_at
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.multi_crop import of_each


class Head(nn.Module):
    """(B, dim) -> (B, K): an MLP with GELU, to unit vectors, and their cosines with K unit vectors (appendix C).

    Weights start with a deviation of 1 / sqrt(inputs), which at 2,048 inputs is the 0.02 of the authors' code. With
    0.02 a narrow head would shorten its vectors layer by layer, until their biases decided the direction and all
    pictures had the same scores.
    """

    def __init__(self, dim: int, hidden: int, bottleneck: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                deviation = layer.in_features**-0.5
                nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
                nn.init.zeros_(layer.bias)
        self.outputs = nn.Parameter(torch.randn(outputs, bottleneck))

    def forward(self, vectors: Tensor, *, fixed: bool = False) -> Tensor:
        """fixed: no gradient goes to the K vectors."""
        outputs = self.outputs.detach() if fixed else self.outputs
        with torch.autocast(vectors.device.type, enabled=False):
            hidden = functional.normalize(self.layers(vectors.to(outputs.dtype)), dim=1)
            return hidden @ functional.normalize(outputs, dim=1).T


class DINO(JointEmbedding):
    """The cross entropy of the teacher's distributions of the large views and the student's of all others (eq. 3).

    Equal scores cost log(outputs). That is no chance level: an untrained network, whose scores hardly depend on the
    picture, costs less. Whether the vectors have collapsed is measured while it trains.

    The paper trains with batches of 1,024, AdamW with a learning rate of 0.0005 * B / 256 and a weight decay that goes
    from 0.04 to 0.4, for 800 epochs.

    outputs: K. Default 1024. Paper 65,536.
    temperature: divides the student's scores. Default 0.1. Paper 0.1.
    teacher_temperature: divides the teacher's, which a small one sharpens. Default 0.04. Paper 0.04 to 0.07.
    centre_momentum: share of the centre that stays at a step (eq. 4); 1 for no centre, since it begins at 0. Default
        0.5. Paper 0.9. The centre must follow much faster than the teacher.
    teacher_momentum: share of the teacher's weights that stays at a step, at the start of the training. Default 0.98.
        Paper 0.996. 1 / (1 - momentum) steps should be well below the number of steps.
    teacher_momentum_end: the same at the end, which is reached by half a cosine. Default 1. Paper 1.
    freeze: share of the training in whose beginning the head's last layer stays as it is. Default 0.1. Paper: one of
        100 epochs.
    hidden: width of the head's two hidden layers. Default 256. Paper 2,048.
    bottleneck: numbers before the head's last layer. Default 64. Paper 256.
    small_crops: number of small views, half as wide and high. Default 4. Paper 10, of 96 instead of 224 px.
    smallest_small_crop: least area of a small crop; the largest is smallest_crop. Default 0.1. Paper 0.05.
    smallest_crop: least area of a large crop. Default 0.3. Paper 0.25.
    hue: see Augmentation. Default 0.1. Paper 0.1.
    solarise: that of the second view, see Augmentation. Default 0.2. Paper 0.2.
    flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of all views. Default 0, since it is less than half a pixel wide below 64 px. Paper 1 for the first view, 0.1
        for the second and 0.5 for small ones.
    """

    reference = "Caron et al. 2021, arXiv:2104.14294"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        outputs: int = 1024,
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        centre_momentum: float = 0.5,
        teacher_momentum: float = 0.98,
        teacher_momentum_end: float = 1.0,
        freeze: float = 0.1,
        hidden: int = 256,
        bottleneck: int = 64,
        small_crops: int = 4,
        smallest_small_crop: float = 0.1,
        smallest_crop: float = 0.3,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float = Augmentation.blur,
        solarise: float = 0.2,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        require_positive(temperature=temperature, teacher_temperature=teacher_temperature)
        require_positive(hidden=hidden, bottleneck=bottleneck)
        require_fraction(centre_momentum=centre_momentum, freeze=freeze)
        require_fraction(teacher_momentum=teacher_momentum, teacher_momentum_end=teacher_momentum_end)
        if outputs < 2:
            raise ValueError(f"outputs is {outputs}; it must be at least 2")
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(
            encoder,
            data,
            views,
            solarise=solarise,
            small_crops=small_crops,
            smallest_small_crop=smallest_small_crop,
        )
        self.temperature, self.teacher_temperature = temperature, teacher_temperature
        self.centre_momentum, self.momenta = centre_momentum, (teacher_momentum, teacher_momentum_end)
        self.freeze = freeze
        self.head = Head(encoder.dim, hidden, bottleneck, outputs)
        self.teacher = Teacher(self.network())
        self.centre: Tensor
        self.progress: Tensor
        self.register_buffer("centre", torch.zeros(outputs))
        self.register_buffer("progress", torch.zeros(()))

    def network(self) -> nn.Sequential:
        """Encoder and head, which the teacher follows."""
        return nn.Sequential(self.encoder, self.head)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The loss, and the teacher's entropy as a share of chance (only logged): near 0 or 1 outputs have collapsed.

        Hands over the mean of the teacher's scores (K,) for the centre.
        """
        fixed = float(self.progress) < self.freeze
        scores = of_each(lambda crops: self.head(self.encoder(crops), fixed=fixed), views, len(index))  # (B, K) each
        taught = of_each(self.teacher, views[:2], len(index))
        targets = [sharpened(each, self.centre, self.teacher_temperature) for each in taught]
        entropy = torch.cat([torch.special.entr(each).sum(1) for each in targets]).mean() / math.log(len(self.centre))
        terms = {"loss": swapped(targets, [each / self.temperature for each in scores]), "entropy": entropy.detach()}
        return Scored(terms, handed_over=torch.cat(taught).float().mean(0))

    def after_step(self, handed_over: Tensor, progress: float) -> None:
        """Moves the teacher and the centre (eq. 4)."""
        self.teacher.update(self.network(), momentum_at(*self.momenta, progress))
        self.centre.lerp_(handed_over, 1 - self.centre_momentum)
        self.progress.fill_(progress)


METHOD = DINO
