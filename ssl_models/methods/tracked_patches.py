"""Tracked patches: two times of one track look alike, and unlike the patches of other clips (Wang & Gupta 2015).

arXiv:1505.00687. What a tracker follows through a video is one thing, although its pose, its light and its place
change: nobody needs to say what it is for a network to learn that these changes do not matter. A siamese network ranks
the other time of a track before a patch of another clip.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.heads import mlp
from ssl_models.losses.metric import cosine_energy, margin_loss, margin_loss_chance, triplet_loss
from ssl_models.method import Method, Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import below
from ssl_models.views.geometric import resample
from ssl_models.views.photometric import colour_jitter, require_jitter
from ssl_models.views.track_pairs import random_track, squares_about, two_times

OBJECTIVES = ("triplet", "margin")
HARD_FROM = 0.5
"""The share of the training after which negatives are hard ones."""
MANY = 2**31


class TrackedPatches(Method):
    """A ranking loss of the two times of a track against patches of other clips. Chance is the margin.

    With D = 1 - cosine, "triplet" is max(0, D(patch, other time) - D(patch, other clip) + margin) (section 4.2), which
    is the margin where all cosines are alike; hard negatives cost a network that tells nothing apart more. In the first
    half of the training negatives are drawn at random, then the hardest of the batch are taken. Clips without a track
    that is followed in two frames do not count, and where no two of a batch have one, the loss is 0.

    Two times of a track share more than what is followed. Their light and colour hardly change: a network that reads
    only the mean colour of a patch learned, with random negatives, to rank 99.9 % of pairs right without the jitter of
    colours, and 70 % to 71 % with it, where a ResNet of depth 10 and width 8 ranked 88 % to 91 % right (50 % is
    chance). With hard negatives in the second half it is 55 % to 58 %, and 85 % to 86 %. This was on 128 clips of
    `world_video` for training and 128 others (32 px, three seeds), in 300 steps of 48 clips by AdamW with a learning
    rate of 0.002, with 32 hidden units and 16 outputs of the head. What lies around it often stays the same too:
    patches are cut without context, but what is seen in the corners of a box remains. Clips of one video that are in a
    batch together are each other's negatives, although they may show the same thing.

    objective: the loss. Default "triplet". "margin": contrastive pairs with a margin, see `margin_loss`; chance is then
        margin^2 / 4. Paper "triplet".
    margin: by how much the other time must be closer. Default 0.5. Paper 0.5.
    apart: least distance in time of the two patches, as a share of the frames in which the track is followed; 1 takes
        the first and the last. Default 0.5. Paper 1: the first and the last of 30 frames.
    context: side of a patch, as a multiple of the longer side of the track's box. Default 1: the background is left
        out.
    jitter: how far a patch is moved and scaled, as a share of its side. Default 0.1. Own.
    size: side in pixels that patches are scaled to. Default 32. Paper 227.
    negatives: how many negatives are drawn for each pair in the first half. Default 4. Paper 4.
    hard: how many of the hardest patches of the batch are taken for each pair in the second half; 0 for random ones
        throughout. Default 4. Paper 4.
    hidden: width of the head's hidden layer; the head is that of SimCLR. Default 256. Paper 4,096.
    projection: outputs of the head. Default 64. Paper 1,024.
    flip, strength, hue, grey: of each patch by itself, see Augmentation. Default of hue 0.5.
    """

    family = "contrastive"
    reference = "Wang & Gupta 2015, arXiv:1505.00687"
    parts = ("frames", "tracks")
    by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "triplet",
        margin: float = 0.5,
        apart: float = 0.5,
        context: float = 1.0,
        jitter: float = 0.1,
        size: int = 32,
        negatives: int = 4,
        hard: int = 4,
        hidden: int = 256,
        projection: int = 64,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = 0.5,
        grey: float = Augmentation.grey,
    ) -> None:
        super().__init__(encoder)
        length, channels, _, _ = data.part("frames")
        if length < 2:
            raise ValueError("clips have one frame; tracked_patches compares two times of a track")
        require_choice("objective", objective, OBJECTIVES)
        require_positive(margin=margin, context=context, size=size, negatives=negatives)
        require_positive(hidden=hidden, projection=projection)
        require_fraction(apart=apart, jitter=jitter, flip=flip, grey=grey)
        require_jitter(strength, hue)
        if margin > 2:
            raise ValueError(f"margin is {margin}; 1 - cosine is at most 2, so it must not be larger")
        if hard < 0:
            raise ValueError(f"hard is {hard}; it must be a number of negatives, or 0 for random ones throughout")
        require_input(encoder, (channels, size, size), "patches")
        self.objective, self.margin, self.negatives, self.hard = objective, margin, negatives, hard
        self.apart, self.context, self.jitter, self.size = apart, context, jitter, size
        self.flip, self.strength, self.hue, self.grey = flip, strength, hue, grey
        self.head = mlp(encoder.dim, hidden, projection)
        self.chance = margin if objective == "triplet" else margin_loss_chance(margin)
        self.done: Tensor
        self.register_buffer("done", torch.zeros(()))

    def views(self, frames: Tensor, tracks: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, T, C, H, W) uint8 and (B, M, T, 4) -> patches (2 B, C, size, size), a clip's two next to each other;
        whether a clip counts (B,) bool; and draws (B, negatives) int64 of what it is compared with.

        Of clips that do not count, a square of two frames is shown.
        """
        batch, _, _, height, width = frames.shape
        boxes, followed, counts = random_track(tracks, generator)
        times = two_times(followed, generator, self.apart)  # (B, 2)
        chosen = boxes.gather(1, times[..., None].expand(-1, -1, 4))
        everything = torch.tensor([0.0, 0.0, width, height], device=boxes.device)
        chosen = torch.where(counts[:, None, None], chosen, everything)
        squares = squares_about(
            chosen, generator, height, width, context=self.context, jitter=self.jitter, flip=self.flip
        )
        pictures = frames[torch.arange(batch, device=frames.device)[:, None], times].flatten(0, 1)
        patches = resample(inputs(pictures), squares.view(-1, 1, 4), self.size, self.size)[:, 0]
        patches = colour_jitter(patches, generator, strength=self.strength, hue=self.hue, grey=self.grey)
        return patches, counts, below(generator, MANY, batch, self.negatives)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:  # noqa: ARG002
        """The objective, and how often the other time is nearer than every patch of other clips (only logged)."""
        patches, counts, draws = views
        vectors = self.head(self.encoder(patches))  # (2 B, projection)
        distances = cosine_energy(vectors[::2], vectors)  # (B, 2 B)
        own = torch.arange(len(distances), device=distances.device)
        similar = distances[own, 2 * own + 1]  # (B,)
        others = other_clips(counts)
        hard = self.hard > 0 and bool(self.done >= HARD_FROM)
        chosen = hardest(distances, others, self.hard) if hard else drawn(others, draws)  # (B, K)
        dissimilar, known = distances.gather(1, chosen), others.gather(1, chosen)
        nearest = similar < distances.masked_fill(~others, torch.inf).amin(1)
        accuracy = mean_where(nearest.float(), others.any(1)).detach()
        if self.objective == "triplet":
            ranked = triplet_loss(similar[:, None], dissimilar, self.margin)
            return Scored({"loss": mean_where(ranked, known), "accuracy": accuracy})
        pull, push = margin_loss(similar, dissimilar, self.margin)
        terms = {"similar": mean_where(pull, others.any(1)), "dissimilar": mean_where(push, known)}
        return Scored({**terms, "accuracy": accuracy})

    def after_step(self, handed_over: None, progress: float) -> None:  # noqa: ARG002
        """Remembers the share of the training that is done."""
        self.done.fill_(progress)


def other_clips(counts: Tensor) -> Tensor:
    """(B,) bool, whether a clip counts -> (B, 2 B) bool: True for the patches that one of each clip is compared with.

    These are the patches of other clips, where both count.
    """
    clip = torch.arange(len(counts), device=counts.device)
    both = counts[:, None] & counts & (clip[:, None] != clip)
    return both.repeat_interleave(2, dim=1)


def drawn(others: Tensor, draws: Tensor) -> Tensor:
    """(B, 2 B) bool and draws (B, K) of large numbers -> (B, K) int64, patches that are True; any where none is."""
    number = draws % others.sum(1, keepdim=True).clamp(min=1)  # 0: the first that is True
    return others.int().argsort(dim=1, descending=True, stable=True).gather(1, number)


def hardest(distances: Tensor, others: Tensor, most: int) -> Tensor:
    """(B, 2 B) both -> (B, K) int64: the nearest of those that are True, which violate a margin most."""
    away = distances.detach().masked_fill(~others, torch.inf)
    return away.topk(min(most, away.shape[1]), largest=False).indices


def mean_where(values: Tensor, known: Tensor) -> Tensor:
    """The mean of the values where `known`, both of one shape; 0, with a gradient of 0, where none is."""
    return (values * known).sum() / known.sum().clamp(min=1)


METHOD = TrackedPatches
