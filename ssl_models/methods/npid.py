"""Instance discrimination: every picture is a class of its own (Wu et al. 2018, arXiv:1805.01978).

A classifier with a weight vector for each picture could not be trained; so the vectors are the pictures' own features
as they were when last seen, kept in a memory bank (section 3.1). A picture's view must find its own row among others.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import centred
from ssl_models.losses.contrastive import info_nce, info_nce_chance, pirl_nce_chance, unit
from ssl_models.losses.noise_contrastive import log_partition, nce
from ssl_models.memory import MemoryBank, rows_compared
from ssl_models.method import DataSpec, Method
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import as_float

CHANCES = {"nce": pirl_nce_chance, "softmax": info_nce_chance}


class NPID(Method):
    """NCE (eq. 7) of a view's feature against the bank, or a softmax over the same logits (eq. 2).

    Chance is the loss at equal logits, and of `proximal` that of independent unit vectors, 2.
    The paper: projection 128, temperature 0.07, 4,096 negatives, SGD 0.9 with learning rate 0.03, batch 256, 200
    epochs, bank momentum 0.5, proximal 30 where it is used.
    objective: "nce", with the constant Z of eq. 8, estimated from the first batch and kept, or "softmax".
    negatives: rows of the bank that a batch is compared with; None: 1,024, or all where there are fewer; 0: all, which
    with "softmax" is the exact non-parametric softmax.
    bank_momentum: share of a bank row that stays at its update.
    proximal: lambda of eq. 10, the weight of |v - v_bank|^2, which steadies a feature that is seen once an epoch.
    centre: whether a batch normalisation ends the head (the paper: no); the reason stands at PIRL, and is that of the
    higher temperature too.
    smallest_crop: least area of the crop. flip, grey: probabilities. strength, hue: of the colour jitter.
    """

    family = "contrastive"
    reference = "Wu et al. 2018, arXiv:1805.01978"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "nce",
        temperature: float = 0.2,
        negatives: int | None = None,
        bank_momentum: float = 0.5,
        proximal: float = 0.0,
        projection: int = 64,
        centre: bool = True,
        smallest_crop: float = 0.2,
        flip: float = 0.5,
        strength: float = 0.5,
        hue: float = 0.5,
        grey: float = 0.2,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "npid")
        require_choice("objective", objective, tuple(CHANCES))
        require_positive(temperature=temperature, projection=projection)
        require_fraction(bank_momentum=bank_momentum)
        if not proximal >= 0:
            raise ValueError(f"proximal is {proximal}; it must be at least 0")
        self.augment = Augmentation(smallest_crop, flip, strength, hue, grey)
        self.objective, self.temperature, self.proximal = objective, temperature, proximal
        self.bank_momentum, self.samples = bank_momentum, data.samples
        self.negatives, compared = rows_compared(negatives, data.samples)
        self.chance = CHANCES[objective](compared) + 2 * proximal
        self.head = centred(nn.Linear(encoder.dim, projection), projection, centre)
        self.bank = MemoryBank(data.samples, projection)
        self.log_z: Tensor
        self.register_buffer("log_z", torch.tensor(torch.nan))  # until the first batch
        self.pending: tuple[Tensor, Tensor] | None = None

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> one view of the same shape, and the bank rows (negatives,) int64 to compare with."""
        return self.augment(as_float(images), generator), self.bank.negatives(self.negatives, generator)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The contrast with the bank, the proximal term, and how often the own row is the nearest (only logged)."""
        pictures, rows = views
        features = unit(self.head(self.encoder(pictures)))  # (B, projection)
        self.pending = index, features.detach()
        positive, negative = self.bank.logits(features, index, rows, self.temperature)
        terms = {
            "contrast": self.contrast(positive, negative).mean(),
            "accuracy": (positive > negative.amax(1)).float().mean().detach(),
        }
        if self.proximal:
            terms["proximal"] = self.proximal * (features - self.bank.rows[index]).square().sum(1).mean()
        return terms

    def contrast(self, positive: Tensor, negative: Tensor) -> Tensor:
        """(B,) and (B, negatives) logits -> (B,); the first of all batches fixes Z."""
        if self.objective == "softmax":
            return info_nce(positive, negative)
        self.log_z.copy_(torch.where(self.log_z.isnan(), log_partition(negative, self.samples), self.log_z))
        return nce(positive, negative, self.log_z, self.samples)

    def after_step(self, progress: float) -> None:  # noqa: ARG002
        """Moves the batch's rows of the bank towards their features."""
        if self.pending is not None:
            self.bank.update(*self.pending, self.bank_momentum)
            self.pending = None


METHOD = NPID
