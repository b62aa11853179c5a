"""MoCo: a view finds the key of its own picture in a queue of keys from a slowly moving encoder (He et al. 2020).

arXiv:1911.05722; version 2 is Chen et al. 2020 (arXiv:2003.04297). Negatives should be many, and should come from
nearly the same encoder. The keys of one batch come from one encoder, but are few. The rows of a memory bank are many,
but come from as many encoders as there are steps in an epoch. A queue of keys from a slowly moving encoder has both
properties (section 3.1). This module offers all three sources, all else being equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import centred
from ssl_models.joint_embedding import JointEmbedding, mean_terms
from ssl_models.losses.contrastive import info_nce, info_nce_chance, similarity, unit
from ssl_models.memory import EXCLUDED, MemoryBank, Queue
from ssl_models.method import Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.teacher import Teacher
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import in_batch

SOURCES = ("queue", "bank", "batch")
BLUR_SHOWS = 64
"""The least side in pixels at which a blur is more than half a pixel wide."""


class Version(NamedTuple):
    """The settings that a paper's version decides."""

    hidden: int
    blur: float
    temperature: float


VERSIONS = {1: Version(hidden=0, blur=0.0, temperature=0.07), 2: Version(hidden=256, blur=0.5, temperature=0.2)}


def head_of(dim: int, hidden: int, projection: int) -> nn.Module:
    """(B, dim) -> (B, projection): a linear layer, or with `hidden` two linear layers and a ReLU between them."""
    if not hidden:
        return nn.Linear(dim, projection)
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, projection))


class MoCo(JointEmbedding):
    """InfoNCE of a view's query against the key of its own picture and K others (eq. 1). Chance is log(K + 1).

    The papers train with batches of 256 over 8 devices, SGD with momentum 0.9, a learning rate of 0.03 and a weight
    decay of 1e-4, for 200 epochs.

    Momentum and queue depend on each other. With momentum m the teacher changes within about 1 / (1 - m) steps. With
    batches of B, the oldest of K keys is K / B steps old. K / B must stay well below 1 / (1 - m). Otherwise old keys
    come from a clearly different encoder than the positive key: the loss falls by telling old keys from new ones, and
    not by telling pictures apart. In turn 1 / (1 - m) must stay well below the number of steps. The papers' values are
    far too slow for some hundreds of steps. For thousands of steps take 4,096 negatives and momentum 0.99, as in the
    authors' CIFAR-10 demonstration.

    version: whose head, blur and temperature are the defaults, each of which can be set by itself. Default 2. 1: the
        first paper's, 2: the second's.
    source: of the negatives (figure 3). Default "queue": K keys from an encoder that follows by `teacher_momentum`.
        "bank": K rows of a memory bank; its rows are the positives too, and a picture has one view. "batch": the other
        pictures' keys, with gradient into both sides; K is batch_size - 1. Paper "queue".
    negatives: K; not to be set for source "batch". Default None: a sixteenth of the samples, at most 512. Then the
        queue seldom holds the key that a picture had an epoch ago. Paper 65,536.
    teacher_momentum: share of the teacher's weights that stays at a step (eq. 2). Default 0.9. Paper 0.999.
    symmetric: whether the views change places too, and the loss is the mean over both queries of a picture; for source
        "queue". Default False, as in both papers. MoCo v3 (arXiv:2104.02057, section 3) is symmetric. A step takes 1.8
        times as long.
    bank_momentum: share of a row of the bank that stays when it is updated. Default 0.5.
    shuffle_groups: number of groups that a batch is split into, each with its own batch-norm statistics. Default 2.
        Paper 8 devices. With common statistics a query can find its key by them, and the network learns nothing
        (section 3.3). Therefore keys are grouped in a random order. With 1 there is no such protection. A group should
        have about 32 pictures.
    temperature: divides the cosine similarities. Default None: 0.07 in version 1 and 0.2 in version 2, as in the
        papers.
    hidden: width of the head's hidden layer, 0 for a linear head. Default None: 0 in version 1 and 256 in version 2.
        Papers: a linear head, and 2,048.
    projection: outputs of the head. Default 64. Paper 128.
    centre: whether a batch normalisation ends the head, see PIRL. Default True. Paper: no. Without it an untrained
        network's new keys could be told from older ones at once, and the features stayed bad.
    small_crops: number of small views, half as wide and high, see multi_crop.py. Each is a further query for the key of
        its picture, or for its row of the bank; it is no key itself, and moves no row. The loss is the mean over all
        queries. Default 0. Own.
    smallest_small_crop: least area of a small crop; the largest is smallest_crop. Default 0.1. Own.
    smallest_crop, flip, strength, hue, grey, invert, gamma: of the views, see Augmentation.
    blur: probability of a blur. Default None: 0 in version 1 and 0.5 in version 2, as in the papers, but 0 below 64 px,
        where the blur is less than half a pixel wide.
    """

    reference = "He et al. 2020, arXiv:1911.05722"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        version: int = 2,
        source: str = "queue",
        negatives: int | None = None,
        teacher_momentum: float = 0.9,
        symmetric: bool = False,
        bank_momentum: float = 0.5,
        shuffle_groups: int = 2,
        temperature: float | None = None,
        hidden: int | None = None,
        projection: int = 64,
        centre: bool = True,
        small_crops: int = 0,
        smallest_small_crop: float = 0.1,
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float | None = None,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        require_picture(data.shape, "moco")
        require_choice("source", source, SOURCES)
        if version not in VERSIONS:
            raise ValueError(f"version is {version}; choose one of {', '.join(map(str, VERSIONS))}")
        usual = VERSIONS[version]
        temperature = usual.temperature if temperature is None else temperature
        hidden = usual.hidden if hidden is None else hidden
        if blur is None:
            blur = usual.blur if min(data.shape[1:]) >= BLUR_SHOWS else 0.0
        if symmetric and source != "queue":
            raise ValueError(
                f"symmetric is True, and the source is '{source}'; only the queue has queries and keys apart"
            )
        require_positive(temperature=temperature, projection=projection, shuffle_groups=shuffle_groups)
        require_fraction(teacher_momentum=teacher_momentum, bank_momentum=bank_momentum)
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, small_crops=small_crops, smallest_small_crop=smallest_small_crop)
        if hidden < 0:
            raise ValueError(f"hidden is {hidden}; it must be at least 1, or 0 for a linear head")
        self.source, self.temperature, self.teacher_momentum = source, temperature, teacher_momentum
        self.bank_momentum, self.shuffle_groups, self.symmetric = bank_momentum, shuffle_groups, symmetric
        self.head = centred(head_of(encoder.dim, hidden, projection), projection, centre)
        self.bank: MemoryBank
        self.queue: Queue
        self.teacher: Teacher
        self._remember(data, negatives, projection)

    def _remember(self, data: DataSpec, negatives: int | None, projection: int) -> None:
        """Sets up the memory that the source of the negatives needs, and chance."""
        if self.source == "batch":
            if negatives is not None:
                raise ValueError(f"negatives is {negatives}; source 'batch' has batch_size - 1, so leave it out")
            return
        self.negatives = max(1, min(512, data.samples // 16)) if negatives is None else negatives
        if not 1 <= self.negatives <= data.samples:
            raise ValueError(f"negatives is {negatives}; {data.samples} samples allow 1 to that many")
        if self.source == "bank":
            if data.samples < 2:
                raise ValueError(
                    f"moco compares a sample with others, and the data have {data.samples}; it takes at least 2"
                )
            self.bank = MemoryBank(data.samples, projection)
            compared = min(self.negatives, data.samples - 1)  # not with oneself
        else:
            self.teacher, self.queue = Teacher(self.network()), Queue(self.negatives, projection)
            compared = self.negatives
        self.chance = info_nce_chance(compared)

    def network(self) -> nn.Sequential:
        """Encoder and head, which compute the queries."""
        return nn.Sequential(self.encoder, self.head)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> a view for the queries, and for source "bank" the rows (negatives,) int64 to compare
        with, else a view for the keys and the order (B,) int64 in which they are put into groups. The small views
        (n * B, C, h, w) come last, if there are any."""
        batch = in_batch(generator, len(images))
        if batch < 2 * self.shuffle_groups:
            raise ValueError(f"shuffle_groups is {self.shuffle_groups}; a batch of {batch} allows at most {batch // 2}")
        pictures = inputs(images)
        queries = self.multi_crop.first(pictures, generator)
        if self.source == "bank":
            rows = self.bank.negatives(self.negatives, generator)
            return queries, rows, *self.multi_crop.small_views(pictures, generator)
        order = torch.randperm(batch, generator=generator, device=images.device)
        keys = self.multi_crop.first(pictures, generator)
        return queries, keys, order, *self.multi_crop.small_views(pictures, generator)

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        large = (1, 0) if self.source == "bank" else (1, 1, 0)
        return (*large, *self.multi_crop.layout[2:])

    def in_groups(self, network: nn.Module, pictures: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, projection) unit vectors; batch norms use the statistics of each group by itself."""
        return unit(torch.cat([network(group) for group in pictures.tensor_split(self.shuffle_groups)]))

    def queries(self, views: Sequence[Tensor], batch: int) -> list[Tensor]:
        """(B, projection) unit vectors of the first view, and of each small crop; these share statistics in a group."""
        network, count = self.network(), self.multi_crop.count
        large = self.in_groups(network, views[0])
        if not count:
            return [large]
        crops = views[-1].reshape(count, batch, *views[-1].shape[1:]).tensor_split(self.shuffle_groups, dim=1)
        small = [network(group.flatten(0, 1)).unflatten(0, (count, -1)) for group in crops]  # (n, b, projection) each
        return [large, *map(unit, torch.cat(small, 1))]

    def keys(self, network: nn.Module, pictures: Tensor, order: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, projection) unit vectors; grouped in the given order, returned in the original one."""
        return self.in_groups(network, pictures[order])[order.argsort()]

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """InfoNCE, and how often a query's nearest key is that of its own picture (only logged).

        Hands over the keys (B, projection) for the queue, or the samples and the queries for their rows of the bank.
        """
        queries = self.queries(views, len(index))
        if self.source == "queue":
            keys = self.keys(self.teacher, *views[1:3])
            logits = [self.against_queue(each, keys) for each in queries]
            if self.symmetric:
                swapped = self.in_groups(self.network(), views[1]), self.keys(self.teacher, views[0], views[2])
                logits.append(self.against_queue(*swapped))
            return Scored(info_nce_terms(logits), handed_over=keys)
        if self.source == "bank":
            logits = [self.bank.logits(each, index, views[1], self.temperature) for each in queries]
            return Scored(info_nce_terms(logits), handed_over=(index, queries[0].detach()))
        keys = self.keys(self.network(), *views[1:3])
        logits = [self.against_batch(each, keys) for each in queries]
        return Scored(info_nce_terms(logits), chance=info_nce_chance(len(index) - 1))

    def against_queue(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and the teacher's keys, (B, projection) each -> (B,) positive and (B, K) negative logits."""
        positive = (queries * keys).sum(1) / self.temperature
        return positive, similarity(queries, self.queue.rows) / self.temperature

    def against_batch(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, (B, projection) each -> (B,) positive and (B, B) negative logits, the own key excluded."""
        logits = similarity(queries, keys) / self.temperature
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        return logits.diagonal(), logits.masked_fill(own, EXCLUDED)

    def after_step(self, handed_over: Any, progress: float) -> None:  # noqa: ARG002
        """Updates the teacher (eq. 2) and puts the keys into the queue, or moves the batch's rows of the bank."""
        if self.source == "queue":
            self.teacher.update(self.network(), self.teacher_momentum)
            self.queue.push(handed_over)
        elif self.source == "bank":
            index, queries = handed_over
            self.bank.update(index, queries, self.bank_momentum)


def info_nce_terms(logits: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """(B,) positive and (B, N) negative logits of each query of a picture -> InfoNCE, and the share of positives above
    all their negatives; both are means over all queries."""
    found = [
        {
            "loss": info_nce(positive, negative).mean(),
            "accuracy": (positive > negative.amax(1)).float().mean().detach(),
        }
        for positive, negative in logits
    ]
    return mean_terms(found)


METHOD = MoCo
