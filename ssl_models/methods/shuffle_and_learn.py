"""Shuffle and learn: are three frames of a clip shown in the order of time? (Misra et al. 2016, arXiv:1603.08561)

Of five frames a, b, c, d, e in order, (b, c, d) is right, and (b, a, d) and (b, e, d) are wrong: the first and the last
frame shown are the same, so that the middle one alone tells (section 3.1). Each may also be shown backwards, (d, c, b):
that is right too, so that the direction of time tells nothing.

What may answer without any idea of the object:
- Its place. Where it moves straight on, or the camera does, c lies between b and d, and a and e do not.
- Light, noise or compression that drift in time, such as the distance from the last key frame of a codec.
- Not the background of a still camera: without what moves, all frames are equal. Nor the crop or the colours,
  which are changed in all alike. Clips in which nothing moves cannot be answered, and stay at chance.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsSamples
from ssl_models.heads import TilesClassifier
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.views.drawing import uniform
from ssl_models.views.frame_choice import motion, take, times_by_weight
from ssl_models.views.photometric import colour_jitter, require_jitter

FIVE, SHOWN = 5, 3
"""Frames that are drawn of a clip, and frames of an example."""
ORDERS = ((1, 2, 3), (3, 2, 1), (1, 0, 3), (3, 0, 1), (1, 4, 3), (3, 4, 1))
"""Which of the five each example shows; the first RIGHT of them are in order."""
RIGHT = 2
EXAMPLES = ("all", "one")


class ShuffleAndLearn(Method):
    """Binary cross entropy of whether the order is right. Chance is the entropy of the share of right ones.

    A network that has learned nothing says how many examples are right: -p log p - (1 - p) log(1 - p), log 2 at a half;
    its accuracy is then the larger of p and 1 - p. The paper trains with SGD, batches of 128 and a learning rate of
    0.001, a tenth of it for the last 20,000 of 100,000 steps. It leaves out examples in which c looks like a or e; here
    all clips are shown.

    examples: of each clip and step. Default "all": five frames, each encoded once, and all six examples, weighted as
        `positives` asks. Right and wrong ones then differ in nothing but the middle frame. Paper "one": three frames
        are shown. With a ResNet of depth 10 and width 8 and 512 clips of the tests (32 px), after 8 epochs in batches
        of 32 by AdamW with a learning rate of 0.1, the loss of 512 others was 0.31 and 0.35 with "all" and 0.54 and
        0.58 with "one" (two seeds), in 5 and in 3 seconds of one core.
    positives: share of examples that are in the right order. Default 0.5, at which an accuracy of 1/2 is chance and an
        example tells the most. Paper 0.25.
    motion: how much the five frames are chosen where much moves: 0 for evenly, 1 for in proportion to the difference
        from the frames beside, see `motion`. Default 1. Paper 1, with the optical flow.
    hidden: width of the classifier's hidden layer. Default 256. Paper: none, one layer of 2 outputs.
    smallest_crop: least area of the crop, which is the same for all frames of a clip, see MildViews. Default 0.5.
    flip: of all frames of a clip alike, see MildViews.
    strength, hue, grey: of all frames of a clip alike, see Augmentation; here mild, since the order must be seen, and
        colours tell nothing of it. Default 0.3, 0.1 and 0.1.
    """

    family = "predictive"
    reference = "Misra et al. 2016, arXiv:1603.08561"
    parts = ("frames",)
    by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        examples: str = "all",
        positives: float = 0.5,
        motion: float = 1.0,
        hidden: int = 256,
        smallest_crop: float = 0.5,
        flip: float = MildViews.flip,
        strength: float = 0.3,
        hue: float = 0.1,
        grey: float = 0.1,
    ) -> None:
        super().__init__(encoder)
        require_five(data.part("frames")[0])
        require_choice("examples", examples, EXAMPLES)
        if not 0 < positives < 1:
            raise ValueError(f"positives is {positives}; it must lie between 0 and 1: both orders have to be shown")
        require_fraction(motion=motion, grey=grey)
        require_positive(hidden=hidden)
        require_jitter(strength, hue)
        self.one, self.positives, self.motion = examples == "one", positives, motion
        self.strength, self.hue, self.grey = strength, hue, grey
        self.mild_views = MildViews(smallest_crop, flip)
        self.head = TilesClassifier(encoder.dim, hidden, 1, SHOWN)
        self.orders: Tensor  # (6, 3)
        self.register_buffer("orders", torch.tensor(ORDERS), persistent=False)
        self.weights: Tensor  # (2,) of a wrong and of a right example
        there = positives if self.one else RIGHT / len(ORDERS)
        weights = torch.tensor([(1 - positives) / (1 - there), positives / there])
        self.register_buffer("weights", weights, persistent=False)
        self.chance = -positives * math.log(positives) - (1 - positives) * math.log(1 - positives)

    def views(self, frames: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, T, C, H, W) uint8 -> frames (K B, C, H, W), a clip's next to each other, and of each example whether its
        order is right, int64: all five frames and (6 B,), or the three of one example and (B,)."""
        moved = motion(frames)
        weights = torch.lerp(moved.mean(1, keepdim=True), moved, self.motion)
        times = times_by_weight(generator, weights, FIVE)  # (B, 5)
        if self.one:
            number = draw_orders(generator, len(frames), self.positives)  # (B,)
            times = times.gather(1, self.orders[number])
        else:
            number = torch.arange(len(ORDERS), device=frames.device).repeat(len(frames))
        shown = self.mild_views(take(frames, times), generator)
        return self.coloured(shown, generator).flatten(0, 1), (number < RIGHT).long()

    def coloured(self, shown: Tensor, generator: Generator) -> Tensor:
        """(B, K, C, H, W) -> the same shape: the frames of a clip are changed alike."""
        batch, count, channels, height, width = shown.shape
        below = shown.transpose(1, 2).reshape(batch, channels, count * height, width)  # as one picture
        changed = colour_jitter(below, generator, strength=self.strength, hue=self.hue, grey=self.grey)
        return changed.view(batch, channels, count, height, width).transpose(1, 2)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Binary cross entropy of the order, and the accuracy (only logged), right and wrong by `positives`."""
        frames, right = views
        features = self.encoder(frames).view(len(index), -1, self.encoder.dim)  # (B, K, dim)
        if not self.one:
            features = features[:, self.orders.flatten()]  # (B, 6 * 3, dim)
        logits = self.head(features.flatten(0, 1))[:, 0].float()
        weights = self.weights[right]
        hits = (logits.detach() > 0) == right.bool()
        loss = functional.binary_cross_entropy_with_logits(logits, right.float(), weight=weights)
        return {"loss": loss, "accuracy": (weights * hits).mean()}


def draw_orders(generator: Generator, batch: int, positives: float) -> Tensor:
    """(batch,) int64: which of ORDERS is shown, one of the right ones with the probability `positives`."""
    draw = uniform(generator, 3, batch, axis=1)
    right, later, backwards = draw[0] < positives, draw[1] < 0.5, draw[2] < 0.5
    return torch.where(right, 0, torch.where(later, 4, 2)) + backwards


def require_five(frames: int) -> None:
    """Refuses clips of too few frames."""
    if frames < FIVE:
        raise NeedsSamples(
            f"shuffle_and_learn draws {FIVE} frames of a clip, and these clips have {frames}; raise the "
            "reader's setting `frames`"
        )


METHOD = ShuffleAndLearn
