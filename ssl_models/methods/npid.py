"""Instance discrimination: every picture is its own class (Wu et al. 2018, arXiv:1805.01978).

A classifier with one weight vector for each picture would be too large to train. The pictures' own features take the
place of these vectors, as they were when the picture was last seen. They are kept in a memory bank (section 3.1). The
view of a picture must find its own row among others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.crops import mean_of, repeated
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import centred
from ssl_models.losses.contrastive import info_nce, info_nce_chance, pirl_nce_chance, unit
from ssl_models.losses.noise_contrastive import kept_partition, nce
from ssl_models.memory import MemoryBank, rows_compared
from ssl_models.method import Method, Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation

CHANCES = {"nce": pirl_nce_chance, "softmax": info_nce_chance}


class NPID(Method):
    """NCE (eq. 7) of a view's feature against the bank, or a softmax over the same logits (eq. 2).

    Chance is the loss at equal logits, plus `proximal` times 2, the squared distance of independent unit vectors. The
    paper trains with SGD, momentum 0.9, a learning rate of 0.03 and batches of 256, for 200 epochs.

    objective: how a feature is compared with the bank. Default "nce", with the constant Z of eq. 8, which is estimated
        from the first batch and kept. "softmax": eq. 2.
    temperature: divides the cosine similarities. Default 0.2, higher than the paper's for the reason given at PIRL.
        Paper 0.07.
    negatives: rows of the bank that a batch is compared with. Default None: 1,024, or all where there are fewer. 0:
        all, which with "softmax" is the exact non-parametric softmax. Paper 4,096.
    bank_momentum: share of a row of the bank that stays when it is updated. Default 0.5. Paper 0.5.
    fill: whether a first pass over all pictures fills the bank. Default False: its rows begin as random unit vectors,
        as in the paper, and a picture's own row tells nothing of it in the first epoch.
    crops: views of a picture in a step. Each of them looks for the picture's row, which moves towards the mean of their
        features. Default 1. Paper 1. Two are as many as methods without a bank have.
    proximal: lambda of eq. 10, the weight of |v - v_bank|^2, which stabilises features that are seen once an epoch.
        Default 0. Paper 30 where it is used.
    projection: outputs of the head. Default 64. Paper 128.
    centre: whether a batch normalisation ends the head, for the reason given at PIRL. Default True. Paper: no.
    smallest_crop, flip, strength, hue, grey, invert, gamma: of the views, see Augmentation.
    """

    family = "contrastive"
    reference = "Wu et al. 2018, arXiv:1805.01978"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "nce",
        temperature: float = 0.2,
        negatives: int | None = None,
        bank_momentum: float = 0.5,
        fill: bool = False,
        crops: int = 1,
        proximal: float = 0.0,
        projection: int = 64,
        centre: bool = True,
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "npid")
        require_choice("objective", objective, tuple(CHANCES))
        require_positive(temperature=temperature, projection=projection, crops=crops)
        require_fraction(bank_momentum=bank_momentum)
        if not proximal >= 0:
            raise ValueError(f"proximal is {proximal}; it must be at least 0")
        self.augment = Augmentation(
            smallest_crop, flip, strength, hue, grey, invert=invert, gamma=gamma, size=data.shape[1:]
        )
        self.objective, self.temperature, self.proximal = objective, temperature, proximal
        self.bank_momentum, self.samples, self.crops_each = bank_momentum, data.samples, crops
        self.negatives, compared = rows_compared(negatives, data.samples)
        self.chance = CHANCES[objective](compared) + 2 * proximal
        self.head = centred(nn.Linear(encoder.dim, projection), projection, centre)
        self.bank, self.meets = MemoryBank(data.samples, projection), fill
        self.log_z: Tensor
        self.register_buffer("log_z", torch.tensor(torch.nan))  # until the first batch

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> views (crops B, C, H, W), and the bank rows (negatives,) int64 to compare with."""
        pictures = repeated(inputs(images), self.crops_each)
        return self.augment(pictures, generator), self.bank.negatives(self.negatives, generator)

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        return 1, 0

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The contrast with the bank, the proximal term, and how often the own row is the nearest (only logged).

        Hands over the samples, and their features (B, projection) for the bank.
        """
        pictures, rows = views
        samples = repeated(index, self.crops_each)
        features = unit(self.head(self.encoder(pictures)))  # (crops B, projection)
        positive, negative = self.bank.logits(features, samples, rows, self.temperature)
        terms = {
            "contrast": self.contrast(positive, negative).mean(),
            "accuracy": (positive > negative.amax(1)).float().mean().detach(),
        }
        if self.proximal:
            terms["proximal"] = self.proximal * (features - self.bank.rows[samples]).square().sum(1).mean()
        return Scored(terms, handed_over=(index, mean_of(features.detach(), self.crops_each)))

    def meet(self, *views: Tensor, index: Tensor) -> None:
        """Puts the features of a batch into their rows of the bank."""
        self.bank.update(index, mean_of(self.head(self.encoder(views[0])), self.crops_each), momentum=0.0)

    def contrast(self, positive: Tensor, negative: Tensor) -> Tensor:
        """(B,) and (B, negatives) logits -> (B,). The first batch of a training fixes Z, in the buffer `log_z`."""
        if self.objective == "softmax":
            return info_nce(positive, negative)
        self.log_z.copy_(kept_partition(self.log_z, negative, self.samples))
        return nce(positive, negative, self.log_z, self.samples)

    def after_step(self, handed_over: tuple[Tensor, Tensor], progress: float) -> None:  # noqa: ARG002
        """Moves the bank's rows of the batch towards their features."""
        self.bank.update(*handed_over, self.bank_momentum)


METHOD = NPID
