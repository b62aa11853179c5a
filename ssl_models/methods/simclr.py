"""SimCLR: two strong views of a picture know each other among all others of the batch (Chen et al. 2020).

arXiv:2002.05709. Crop and colour together make it work (section 3.2): with a crop alone the colour histogram gives
the pair away. The projection head is thrown away after training, because what it drops is worth keeping (section 4.2).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import projection_mlp
from ssl_models.losses.contrastive import nt_xent, nt_xent_accuracy, nt_xent_chance
from ssl_models.losses.metric import n_pair, n_pair_chance, n_pair_penalty
from ssl_models.method import DataSpec, Method
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import as_float

OBJECTIVES = ("nt_xent", "n_pair")


class SimCLR(Method):
    """NT-Xent between two views over the batch. Chance is log(2B - 1) and known only once a batch was scored.

    objective: "nt_xent", or "n_pair" (Sohn 2016, NIPS), for which the first view is compared with all second views,
    by products that are not normalised and have no temperature; chance is then log(B).
    length_penalty: of n_pair only, the weight of half the mean squared length of a projection (0.002 in public code).

    The paper: batch 4,096, temperature 0.1, LARS with learning rate 0.3 * B / 256, weight decay 1e-6; for CIFAR-10
    (appendix B.9) temperature 0.5, strength 0.5, no blur.
    strength: of the colour jitter (paper 1). hue: largest turn, 0.5 all round (paper 0.2 * strength; all round here, so
    that no colour survives to be matched). grey: probability. blur: probability (paper 0.5 at 224 px).
    smallest_crop: least area of the crop (paper 0.08). hidden, projection: widths of the head (2,048 and 128).
    Data without three channels are given brightness and contrast, but no hue, saturation or grey.
    """

    family = "contrastive"
    reference = "Chen et al. 2020, arXiv:2002.05709"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "nt_xent",
        temperature: float = 0.5,
        length_penalty: float = 0.002,
        hidden: int = 256,
        projection: int = 64,
        smallest_crop: float = 0.2,
        flip: float = 0.5,
        strength: float = 0.5,
        hue: float = 0.5,
        grey: float = 0.2,
        blur: float = 0.0,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "simclr")
        require_choice("objective", objective, OBJECTIVES)
        require_positive(temperature=temperature, hidden=hidden, projection=projection)
        require_fraction(length_penalty=length_penalty)
        self.augment = Augmentation(smallest_crop, flip, strength, hue, grey, blur)
        self.objective, self.length_penalty, self.temperature = objective, length_penalty, temperature
        self.head = projection_mlp(encoder.dim, hidden, projection)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> two views of the same shape."""
        pictures = as_float(images)
        return self.augment(pictures, generator), self.augment(pictures, generator)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The objective, and how often the other view is the most similar of 2B - 1 (only logged)."""
        first, second = self.head(self.encoder(torch.cat(views))).chunk(2)  # (B, projection) each
        accuracy = nt_xent_accuracy(first, second)
        if self.objective == "nt_xent":
            self.chance = nt_xent_chance(len(index))
            return {"loss": nt_xent(first, second, self.temperature), "accuracy": accuracy}
        self.chance = n_pair_chance(len(index))
        penalty = self.length_penalty * n_pair_penalty(first, second)
        return {"loss": n_pair(first, second), "penalty": penalty, "accuracy": accuracy}


METHOD = SimCLR
