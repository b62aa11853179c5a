"""Video neighbours: frames of a clip that are close in time have similar vectors, frames of other videos do not.

What changes from one frame to the next is what a representation should not depend on: pose, place, light. Time gives
the pairs that other contrastive methods make by augmentation (Mobahi et al. 2009, ICML: adjacent frames of a video are
pulled together, and others pushed apart). The loss is that of SimCLR (Chen et al. 2020, arXiv:2002.05709, eq. 1).

Frames of one video are much alike, so that a batch of many frames of few videos has fewer samples in effect than rows.
Batch normalisation then takes its means and deviations from little; group normalisation (Wu & He 2018,
arXiv:1803.08494) takes them from each frame by itself. studies/group_norm.yaml compares the two, with batches of as
many frames from many clips and from few. The head keeps its own batch normalisation in all of these, so that the
encoder's is what differs.

What may answer without any idea of the object: a background, or a colour, that the frames of a clip share and other
videos do not have. Crops that differ, colours that differ and some frames in grey are against it, as in SimCLR; a
moving camera helps too.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsSamples
from ssl_models.heads import mlp
from ssl_models.losses.contrastive import clip_nt_xent
from ssl_models.method import Method, Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.frame_choice import take, times_within


class VideoNeighbours(Method):
    """NT-Xent of the frames of a clip. Chance is the mean log of the number of candidates, and depends on the batch.

    A frame's candidates are one other frame of its clip, and all frames of the batch of other sources: with two frames
    a clip, and no two clips of one video, chance is log(2B - 1). Clips of one video are not told from each other;
    a batch of one video alone costs nothing. A batch holds B clips and B * frames pictures. The settings are our own:
    no one paper is followed.

    frames: how many frames of each clip are shown; each is compared with each other. Default 2.
    distance: the most that these are apart, in frames. Default 4.
    temperature: divides the cosine similarities. Default 0.2.
    hidden: width of the head's hidden layer; the head is that of SimCLR. Default 256.
    projection: outputs of the head. Default 64.
    smallest_crop: of each frame by itself, see Augmentation. Default 0.5: what moves is often a small part of a frame,
        and two smaller crops may not both show it. A linear classifier of the pooled vectors found 39.3 % of the
        classes with 0.5 and 33.6 % with 0.2, on `world_video` (2,048 clips for training and 512 others, 20 epochs in
        batches of 64 with a learning rate of 0.02, one seed).
    flip, strength, hue, grey: of each frame by itself, see Augmentation. Default of hue 0.5: frames of a clip share
        their colours, and with a strength of 0.3 and a hue of 0.1 it was 28 % in place of 34 %, with crops of 0.2.
    """

    family = "contrastive"
    reference = "Mobahi et al. 2009, ICML"
    parts = ("frames", "source")
    by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        frames: int = 2,
        distance: int = 4,
        temperature: float = 0.2,
        hidden: int = 256,
        projection: int = 64,
        smallest_crop: float = 0.5,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = 0.5,
        grey: float = Augmentation.grey,
    ) -> None:
        super().__init__(encoder)
        require_frames(data.part("frames")[0], frames, distance)
        if data.sources == 1:
            raise NeedsSamples(
                "video_neighbours tells frames of different videos apart, and all training clips are of one video; it "
                "takes two at least"
            )
        require_positive(temperature=temperature, hidden=hidden, projection=projection)
        self.frames, self.distance, self.temperature = frames, distance, temperature
        self.augment = Augmentation(smallest_crop, flip, strength, hue, grey)
        self.head = mlp(encoder.dim, hidden, projection)

    def views(self, frames: Tensor, source: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, T, C, H, W) uint8 and (B, 1) int32 -> frames (B * K, C, H, W), a clip's next to each other, and (B,)."""
        times = times_within(generator, len(frames), frames.shape[1], self.frames, self.distance)
        shown = inputs(take(frames, times).flatten(0, 1))
        return self.augment(shown, generator), inputs(source)[:, 0]

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """NT-Xent, and how often the frame of the same clip is the most similar of the candidates (only logged)."""
        shown, source = views
        clip = torch.arange(len(index), device=source.device).repeat_interleave(self.frames)
        features = self.head(self.encoder(shown))  # (B * K, projection)
        loss, accuracy, chance = clip_nt_xent(features, clip, source[clip], self.temperature)
        return Scored({"loss": loss, "accuracy": accuracy}, chance=float(chance))


def require_frames(total: int, frames: int, distance: int) -> None:
    """Refuses numbers of frames that there are not."""
    if total < 2:
        raise NeedsSamples(f"video_neighbours compares frames of a clip, and these clips have {total}")
    if not 2 <= frames <= total:
        raise ValueError(f"frames is {frames}; clips of {total} frames allow 2 to {total}")
    if distance < frames - 1:
        raise ValueError(
            f"distance is {distance}; {frames} frames of a clip are {frames - 1} apart at least, the first and the last"
        )


METHOD = VideoNeighbours
