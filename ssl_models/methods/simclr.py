"""SimCLR: each of two strong views of a picture finds the other among the batch's views (Chen et al. 2020).

arXiv:2002.05709. Crop and colour jitter are both needed (section 3.2): after a crop alone, the colour histogram tells
which views belong together. The projection head is removed after training: the encoder's vectors before it keep more
information that later tasks need (section 4.2).
"""

from __future__ import annotations

from torch import Tensor

from ssl_models.bounds import require_choice, require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import mlp
from ssl_models.joint_embedding import JointEmbedding, mean_terms
from ssl_models.losses.contrastive import nt_xent, nt_xent_accuracy, nt_xent_chance
from ssl_models.losses.metric import n_pair, n_pair_chance, n_pair_penalty
from ssl_models.method import Scored
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.multi_crop import of_each

OBJECTIVES = ("nt_xent", "n_pair")


class SimCLR(JointEmbedding):
    """NT-Xent between two views over the batch. Chance is log(2B - 1), and depends on the batch.

    The paper trains with batches of 4,096, LARS with a learning rate of 0.3 * B / 256, and a weight decay of 1e-6.

    objective: the loss over the batch. Default "nt_xent". "n_pair" (Sohn 2016, NIPS): the first view is compared with
        all second views, by products that are not normalised and have no temperature; chance is then log(B). Paper
        "nt_xent".
    temperature: divides the cosine similarities of "nt_xent". Default 0.2. Paper 0.1, and 0.5 for CIFAR-10 (appendix
        B.9).
    length_penalty: for "n_pair" only: weight of half the mean squared length of a projection. Default 0.002, as in
        public code.
    hidden: width of the head's hidden layer. Default 256. Paper 2,048.
    projection: outputs of the head. Default 64. Paper 128.
    small_crops: number of small views, half as wide and high, see multi_crop.py. The objective is then the mean of that
        between the large views, and of those between each large and each small one. Default 0. Own.
    smallest_small_crop: least area of a small crop; the largest is smallest_crop. Default 0.1. Own.
    smallest_crop, flip, strength, hue, grey, blur, invert, gamma: of the views, see Augmentation.
    """

    reference = "Chen et al. 2020, arXiv:2002.05709"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "nt_xent",
        temperature: float = 0.2,
        length_penalty: float = 0.002,
        hidden: int = 256,
        projection: int = 64,
        small_crops: int = 0,
        smallest_small_crop: float = 0.1,
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float = Augmentation.blur,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        require_choice("objective", objective, OBJECTIVES)
        require_positive(temperature=temperature, hidden=hidden, projection=projection)
        require_fraction(length_penalty=length_penalty)
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, small_crops=small_crops, smallest_small_crop=smallest_small_crop)
        self.objective, self.length_penalty, self.temperature = objective, length_penalty, temperature
        self.head = mlp(encoder.dim, hidden, projection)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The objective, and how often the other view is the most similar of 2B - 1 (only logged)."""
        first, second, *small = of_each(lambda crops: self.head(self.encoder(crops)), views, len(index))
        pairs = [(first, second), *((large, crop) for crop in small for large in (first, second))]
        chance = nt_xent_chance if self.objective == "nt_xent" else n_pair_chance
        return Scored(mean_terms([self.compared(*pair) for pair in pairs]), chance=chance(len(index)))

    def compared(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Projections of two views, (B, projection) each -> the terms of the objective between them."""
        accuracy = nt_xent_accuracy(first, second)
        if self.objective == "nt_xent":
            return {"loss": nt_xent(first, second, self.temperature), "accuracy": accuracy}
        penalty = self.length_penalty * n_pair_penalty(first, second)
        return {"loss": n_pair(first, second), "penalty": penalty, "accuracy": accuracy}


METHOD = SimCLR
