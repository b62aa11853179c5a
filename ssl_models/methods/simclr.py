"""SimCLR: each of two strong views of a picture finds the other among the batch's views (Chen et al. 2020).

arXiv:2002.05709. Crop and colour jitter are both needed (section 3.2): after a crop alone, the colour histogram tells
which views belong together. The projection head is removed after training: the encoder's vectors before it keep more
information that later tasks need (section 4.2).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import mlp
from ssl_models.losses.contrastive import nt_xent, nt_xent_accuracy, nt_xent_chance
from ssl_models.losses.metric import n_pair, n_pair_chance, n_pair_penalty
from ssl_models.method import Method, Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation

OBJECTIVES = ("nt_xent", "n_pair")


class SimCLR(Method):
    """NT-Xent between two views over the batch. Chance is log(2B - 1), and depends on the batch.

    The paper trains with batches of 4,096, LARS with a learning rate of 0.3 * B / 256, and a weight decay of 1e-6.

    objective: the loss over the batch. Default "nt_xent". "n_pair" (Sohn 2016, NIPS): the first view is compared with
        all second views, by products that are not normalised and have no temperature; chance is then log(B). Paper
        "nt_xent".
    temperature: divides the cosine similarities of "nt_xent". Default 0.5. Paper 0.1, and 0.5 for CIFAR-10 (appendix
        B.9).
    length_penalty: for "n_pair" only: weight of half the mean squared length of a projection. Default 0.002, as in
        public code.
    hidden: width of the head's hidden layer. Default 256. Paper 2,048.
    projection: outputs of the head. Default 64. Paper 128.
    smallest_crop, flip, strength, hue, grey, blur: of the views, see Augmentation.
    """

    family = "contrastive"
    reference = "Chen et al. 2020, arXiv:2002.05709"
    crops = by_rows = True

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
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float = Augmentation.blur,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "simclr")
        require_choice("objective", objective, OBJECTIVES)
        require_positive(temperature=temperature, hidden=hidden, projection=projection)
        require_fraction(length_penalty=length_penalty)
        self.augment = Augmentation(smallest_crop, flip, strength, hue, grey, blur, size=data.shape[1:])
        self.objective, self.length_penalty, self.temperature = objective, length_penalty, temperature
        self.head = mlp(encoder.dim, hidden, projection)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> two views of the same shape."""
        pictures = inputs(images)
        return self.augment(pictures, generator), self.augment(pictures, generator)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The objective, and how often the other view is the most similar of 2B - 1 (only logged)."""
        first, second = self.head(self.encoder(torch.cat(views))).chunk(2)  # (B, projection) each
        accuracy = nt_xent_accuracy(first, second)
        if self.objective == "nt_xent":
            terms = {"loss": nt_xent(first, second, self.temperature), "accuracy": accuracy}
            return Scored(terms, chance=nt_xent_chance(len(index)))
        penalty = self.length_penalty * n_pair_penalty(first, second)
        terms = {"loss": n_pair(first, second), "penalty": penalty, "accuracy": accuracy}
        return Scored(terms, chance=n_pair_chance(len(index)))


METHOD = SimCLR
