"""SwAV: a view's assignment to prototypes is predicted from the other views (Caron et al. 2020).

arXiv:2006.09882. Assignments of the two large views are worked out online, so that all prototypes are used equally
(Sinkhorn-Knopp): that keeps all pictures from having one prototype. Small crops are predicted from, too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import centred, mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.assignment import sinkhorn, swapped
from ssl_models.losses.contrastive import similarity, unit
from ssl_models.memory import Queue, random_unit_vectors
from ssl_models.method import Scored
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.multi_crop import of_each


class SwAV(JointEmbedding):
    """The cross entropy of each view's scores and the code of the other large views (eq. 2 and 6), their mean.

    Chance is log(prototypes), the loss of equal scores.

    The paper trains with batches of 4,096, LARS with a learning rate of 0.3 * B / 256 and a weight decay of 1e-6, for
    800 epochs.

    prototypes: K. Default 256. Paper 3,000, for 1,000 classes.
    temperature: divides the scores. Default 0.1. Paper 0.1.
    sharpness: epsilon of Sinkhorn-Knopp. Default 0.02: with 0.05 scores stay equal for hundreds of steps. Paper 0.05.
    iterations: of Sinkhorn-Knopp. Default 3. Paper 3.
    queue: earlier projections of each large view that codes are worked out with, where a batch is small against the
        prototypes; 0 for none. Default 0. Paper 3,840 for batches of 256, and none for 4,096.
    queue_from: share of the training after which they are used, once there are so many. Default 0.1. Paper: 15 of 200
        epochs.
    freeze: share of the training in whose beginning prototypes stay as they are. Default 0.01. Paper: one of 800
        epochs.
    hidden: width of the head's hidden layer. Default 256. Paper 2,048.
    projection: outputs of the head. Default 64. Paper 128.
    centre: whether a batch normalisation ends the head, see PIRL. Default True. Paper: no.
    small_crops: number of small views, half as wide and high. Default 2. Paper 6, of 96 instead of 224 px.
    smallest_small_crop: least area of a small crop; the largest is smallest_crop. Default 0.1. Paper 0.05.
    smallest_crop: least area of a large crop. Default 0.3. Paper 0.14.
    hue: see Augmentation. Default 0.1. Paper 0.2.
    flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of all views. Default 0, since it is less than half a pixel wide below 64 px. Paper 0.5.
    """

    reference = "Caron et al. 2020, arXiv:2006.09882"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        prototypes: int = 256,
        temperature: float = 0.1,
        sharpness: float = 0.02,
        iterations: int = 3,
        queue: int = 0,
        queue_from: float = 0.1,
        freeze: float = 0.01,
        hidden: int = 256,
        projection: int = 64,
        centre: bool = True,
        small_crops: int = 2,
        smallest_small_crop: float = 0.1,
        smallest_crop: float = 0.3,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float = Augmentation.blur,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        require_positive(temperature=temperature, sharpness=sharpness, iterations=iterations)
        require_positive(hidden=hidden, projection=projection)
        require_fraction(queue_from=queue_from, freeze=freeze)
        if prototypes < 2:
            raise ValueError(f"prototypes is {prototypes}; it must be at least 2")
        if not 0 <= queue <= data.samples:
            raise ValueError(f"queue is {queue}; {data.samples} samples allow 0 to that many")
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, small_crops=small_crops, smallest_small_crop=smallest_small_crop)
        self.temperature, self.sharpness, self.iterations = temperature, sharpness, iterations
        self.queue_from, self.freeze = queue_from, freeze
        self.projector = centred(mlp(encoder.dim, hidden, projection), projection, centre)
        self.prototypes = nn.Parameter(random_unit_vectors(prototypes, projection, None))
        self.queues = nn.ModuleList(Queue(queue, projection) for _ in range(2 if queue else 0))
        self.progress: Tensor
        self.kept: Tensor
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("kept", torch.zeros((), dtype=torch.int64))
        self.chance = math.log(prototypes)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The loss, and how many of the prototypes are the first of a large view, as a share (only logged).

        The head is given the crops of all sizes together, so that its batch normalisation sees all, as in the authors'
        code.
        Hands over the projections of the large views, (B, projection) each, of length 1, for the queues.
        """
        vectors = of_each(self.encoder, views, len(index))  # (B, dim) each
        projections = torch.split(unit(self.projector(torch.cat(vectors))), len(index))  # (B, projection) each
        prototypes = self.prototypes.detach() if float(self.progress) < self.freeze else self.prototypes
        scores = [similarity(each, prototypes) for each in projections]  # (B, K) each
        codes = [self.code(number, each.detach()) for number, each in enumerate(scores[:2])]
        terms = {"loss": swapped(codes, [each / self.temperature for each in scores])}
        first = torch.cat([each.argmax(1) for each in scores[:2]])
        terms["prototypes_used"] = (first.bincount(minlength=len(prototypes)) > 0).float().mean()
        return Scored(terms, handed_over=tuple(each.detach() for each in projections[:2]))

    def in_order(self) -> list[Queue]:
        """The queue of each large view, if there are any."""
        return [queue for queue in self.queues if isinstance(queue, Queue)]

    def code(self, view: int, scores: Tensor) -> Tensor:
        """Scores (B, K) of a large view -> its code (B, K), worked out with the queue's rows where it is in use."""
        if (queues := self.in_order()) and float(self.progress) >= self.queue_from:
            rows = queues[view].rows
            if int(self.kept) >= len(rows):
                scores = torch.cat([scores, similarity(rows, self.prototypes.detach())])
                return sinkhorn(scores, self.sharpness, self.iterations)[: len(scores) - len(rows)]
        return sinkhorn(scores, self.sharpness, self.iterations)

    @torch.no_grad()
    def after_step(self, handed_over: tuple[Tensor, Tensor], progress: float) -> None:
        """Prototypes get length 1 again, and the large views' projections go into the queues."""
        self.prototypes.copy_(functional.normalize(self.prototypes, dim=1))
        for queue, projections in zip(self.in_order(), handed_over, strict=False):
            queue.push(projections)
        self.kept.add_(len(handed_over[0]))
        self.progress.fill_(progress)


METHOD = SwAV
