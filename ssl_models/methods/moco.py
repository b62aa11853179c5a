"""MoCo: a view finds its picture's key among those of a queue that a slow copy of the encoder filled (He et al. 2020).

arXiv:1911.05722, and Chen et al. 2020, arXiv:2003.04297, for version 2. Negatives are wanted many and alike: a batch
gives alike ones but few, a memory bank many but from as many encoders as there were steps in an epoch. A queue of keys
from an encoder that moves slowly gives both (section 3.1). All three can be chosen here, all else being equal.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import centred
from ssl_models.losses.contrastive import info_nce, info_nce_chance, similarity, unit
from ssl_models.memory import EXCLUDED, MemoryBank, Queue
from ssl_models.method import DataSpec, Method
from ssl_models.teacher import Teacher
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import as_float

SOURCES = ("queue", "bank", "batch")
BLUR_SHOWS = 64
"""The side in pixels from which on a blur is more than half a pixel wide."""


class Version(NamedTuple):
    """What a paper's version decides."""

    hidden: int
    blur: float
    temperature: float


VERSIONS = {1: Version(hidden=0, blur=0.0, temperature=0.07), 2: Version(hidden=256, blur=0.5, temperature=0.2)}


def head_of(dim: int, hidden: int, projection: int) -> nn.Module:
    """(B, dim) -> (B, projection): one linear layer, or two with a ReLU between them where there is a `hidden`."""
    if not hidden:
        return nn.Linear(dim, projection)
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, projection))


class MoCo(Method):
    """InfoNCE of a view's query against its picture's key and K others (eq. 1). Chance is log(K + 1).

    The papers: 65,536 negatives, momentum 0.999, projection 128, batch 256 over 8 devices, SGD 0.9 with learning rate
    0.03, weight decay 1e-4, 200 epochs. Both momentum and queue are far too slow for some hundreds of steps: with
    momentum m and batch B, K / B must stay well below 1 / (1 - m), or the network flees from keys of another age than
    the positive's, and 1 / (1 - m) well below the number of steps. For a budget of thousands of steps raise both, to
    4,096 and 0.99 as in the authors' CIFAR-10 demonstration.
    version: of the head, the views and the temperature, each of which can be given by itself. 1: a linear head, no
    blur, 0.07. 2: one hidden layer (here 256 wide, paper 2,048), blur, 0.2.
    source: of the negatives, as in figure 3. "queue": of K keys, from an encoder that follows by `momentum`. "bank":
    K rows of a memory bank, whose rows are the positives too and keep `bank_momentum` at an update; a picture has one
    view. "batch": the other pictures' keys, with gradient into both sides; K is batch_size - 1.
    negatives: K; None: a sixteenth of the samples, so that a picture's key of an epoch ago is seldom among them, but at
    most 512; not with source "batch".
    shuffle_groups: into how many groups queries and keys are split, each with its own batch-norm statistics. With
    statistics in common a query finds its key by them and learns nothing (section 3.3); keys are therefore grouped in
    a random order, as if on devices of their own (the paper's 8). 1: no groups, so no guard. Groups want some 32
    pictures each.
    centre: whether a batch normalisation ends the head (the paper: no), see PIRL; without it the untrained network's
    keys were told from older ones at once, and its features stayed bad.
    hidden: width of the head's hidden layer, 0 for a linear head. blur: probability; by itself 0 below 64 px, where
    the scaled deviation is less than half a pixel.
    smallest_crop: least area of the crop. flip, grey: probabilities. strength, hue: of the colour jitter.
    """

    family = "contrastive"
    reference = "He et al. 2020, arXiv:1911.05722"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        version: int = 2,
        source: str = "queue",
        negatives: int | None = None,
        momentum: float = 0.9,
        bank_momentum: float = 0.5,
        shuffle_groups: int = 2,
        temperature: float | None = None,
        hidden: int | None = None,
        projection: int = 64,
        centre: bool = True,
        smallest_crop: float = 0.2,
        flip: float = 0.5,
        strength: float = 0.5,
        hue: float = 0.5,
        grey: float = 0.2,
        blur: float | None = None,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "moco")
        require_choice("source", source, SOURCES)
        if version not in VERSIONS:
            raise ValueError(f"version is {version}; choose one of {', '.join(map(str, VERSIONS))}")
        usual = VERSIONS[version]
        temperature = usual.temperature if temperature is None else temperature
        hidden = usual.hidden if hidden is None else hidden
        if blur is None:
            blur = usual.blur if min(data.shape[1:]) >= BLUR_SHOWS else 0.0
        require_positive(temperature=temperature, projection=projection, shuffle_groups=shuffle_groups)
        require_fraction(momentum=momentum, bank_momentum=bank_momentum)
        self.augment = Augmentation(smallest_crop, flip, strength, hue, grey, blur)
        if hidden < 0:
            raise ValueError(f"hidden is {hidden}; it must be at least 1, or 0 for a linear head")
        self.source, self.temperature, self.momentum = source, temperature, momentum
        self.bank_momentum, self.shuffle_groups = bank_momentum, shuffle_groups
        self.head = centred(head_of(encoder.dim, hidden, projection), projection, centre)
        self.pending: tuple[Tensor, Tensor] | None = None
        self.bank: MemoryBank
        self.queue: Queue
        self.teacher: Teacher
        if source == "batch":
            if negatives is not None:
                raise ValueError(f"negatives is {negatives}; source 'batch' has batch_size - 1, so leave it out")
            return
        self.negatives = max(1, min(512, data.samples // 16)) if negatives is None else negatives
        if not 1 <= self.negatives <= data.samples:
            raise ValueError(f"negatives is {negatives}; {data.samples} samples allow 1 to that many")
        if source == "bank":
            if data.samples < 2:
                raise ValueError(f"moco compares with other samples, and there is {data.samples}")
            self.bank = MemoryBank(data.samples, projection)
            compared = min(self.negatives, data.samples - 1)  # not with oneself
        else:
            self.teacher, self.queue = Teacher(self.network()), Queue(self.negatives, projection)
            compared = self.negatives
        self.chance = info_nce_chance(compared)

    def network(self) -> nn.Sequential:
        """The encoder and the head, which make the queries."""
        return nn.Sequential(self.encoder, self.head)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> a view for the queries, and for source "bank" the rows (negatives,) int64 to compare
        with, else a view for the keys and the order (B,) int64 in which they are put into groups."""
        if len(images) < 2 * self.shuffle_groups:
            raise ValueError(
                f"shuffle_groups is {self.shuffle_groups}; a batch of {len(images)} allows at most {len(images) // 2}"
            )
        pictures = as_float(images)
        queries = self.augment(pictures, generator)
        if self.source == "bank":
            return queries, self.bank.negatives(self.negatives, generator)
        order = torch.randperm(len(images), generator=generator, device=images.device)
        return queries, self.augment(pictures, generator), order

    def in_groups(self, network: nn.Module, pictures: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, projection) unit vectors; each group's batch-norm statistics are its own."""
        return unit(torch.cat([network(group) for group in pictures.tensor_split(self.shuffle_groups)]))

    def keys(self, network: nn.Module, pictures: Tensor, order: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, projection) unit vectors, grouped in another order and put back into the first."""
        return self.in_groups(network, pictures[order])[order.argsort()]

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """InfoNCE, and how often a query's nearest key is its own picture's (only logged)."""
        queries = self.in_groups(self.network(), views[0])
        if self.source == "queue":
            positive, negative = self.against_queue(queries, index, *views[1:])
        elif self.source == "bank":
            positive, negative = self.against_bank(queries, index, *views[1:])
        else:
            positive, negative = self.against_batch(queries, index, *views[1:])
        return {
            "loss": info_nce(positive, negative).mean(),
            "accuracy": (positive > negative.amax(1)).float().mean().detach(),
        }

    def against_queue(self, queries: Tensor, index: Tensor, pictures: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) and (B, K) logits; the positives are the teacher's keys, which join the queue after the step."""
        keys = self.keys(self.teacher, pictures, order)
        self.pending = index, keys
        positive = (queries * keys).sum(1) / self.temperature
        return positive, similarity(queries, self.queue.rows) / self.temperature

    def against_bank(self, queries: Tensor, index: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) and (B, K) logits; the positives are the pictures' own rows, which move after the step."""
        self.pending = index, queries.detach()
        return self.bank.logits(queries, index, rows, self.temperature)

    def against_batch(self, queries: Tensor, index: Tensor, pictures: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) and (B, B) logits, the positives excluded from the latter; the keys carry gradient too."""
        logits = similarity(queries, self.keys(self.network(), pictures, order)) / self.temperature
        self.chance = info_nce_chance(len(index) - 1)
        own = torch.eye(len(index), dtype=torch.bool, device=logits.device)
        return logits.diagonal(), logits.masked_fill(own, EXCLUDED)

    def after_step(self, progress: float) -> None:  # noqa: ARG002
        """Lets the teacher follow (eq. 2) and the keys join the queue, or moves the batch's rows of the bank."""
        if self.pending is None:
            return
        index, features = self.pending
        if self.source == "bank":
            self.bank.update(index, features, self.bank_momentum)
        else:
            self.teacher.update(self.network(), self.momentum)
            self.queue.push(features)
        self.pending = None


METHOD = MoCo
