"""Two towers, one that sees frames and one that hears sound, and a space that both are embedded in.

Arandjelovic & Zisserman 2017, "Look, Listen and Learn" (arXiv:1705.08168), section 2.1, and 2018, "Objects that Sound"
(arXiv:1712.06651), sections 3 and 4.1.

The embeddings are part of the encoder: where in a frame something sounds is told by them (`heat`).

Letters: B samples, T frames of a clip, S samples of sound, E numbers of an embedding, (H', W') positions of a map.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet, for_data
from ssl_models.encoders.spectrogram import Spectrogram
from ssl_models.errors import DoesNotApply
from ssl_models.modalities import image, sound

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

FRAMES, SOUND = "frames", "sound"
"""The names of the layers that the towers end with, and what those of each tower begin with."""

LAST = "frames_res5"
"""The map whose positions are embedded."""


class TwoTower(Encoder):
    """A ResNet for frames and a Spectrogram for sound. The representation is both their vectors, concatenated.

    Layers: frames_conv1, frames_res2 to frames_res5, and `frames`, the vector; sound_conv1 to sound_conv4, and `sound`.
    Each is of one tower alone, so that it shows what that one knows. Of the T frames of a clip the maps are averaged;
    a layer's pooled features are then the mean of the frames' features, and there is no layer `motion`.

    The last stage of the ResNet does not halve the map, as AVOL-Net keeps 14 x 14 positions at 224 px: of frames of
    64 px it has 8 x 8. Its weights have the shapes of those of any ResNet of this depth and width.

    depth, width, stem_stride, norm: of the ResNet, which see; width and norm are those of the Spectrogram, too.
        Default depth 10. Paper: 8 convolutions of 64 to 512 channels in each tower.
    channels: of the frames. Default 3.
    embedding: numbers of an embedding. Default 64. Paper 128.
    """

    name = "two_tower"
    modalities = (image, sound)
    convolutional = True

    def __init__(
        self,
        *,
        depth: int = 10,
        width: int = 16,
        stem_stride: int = 2,
        channels: int = 3,
        norm: str = "batch",
        embedding: int = 64,
    ) -> None:
        super().__init__()
        require_positive(embedding=embedding)
        self.seeing = finer(ResNet(depth=depth, width=width, stem_stride=stem_stride, channels=channels, norm=norm))
        self.hearing = Spectrogram(width=width, norm=norm)
        self.embed_frames = nn.Conv2d(self.seeing.dim, embedding, 1)
        self.embed_sound = nn.Linear(self.hearing.dim, embedding)
        self.dim = self.seeing.dim + self.hearing.dim
        self.settings = {
            "depth": depth,
            "width": width,
            "stem_stride": stem_stride,
            "channels": channels,
            "norm": norm,
            "embedding": embedding,
        }

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """With as many channels as the frames have."""
        return cls(**for_data(cls, data, settings))

    def reading(self, there: Iterable[str]) -> Encoder:
        """Itself, or the one tower whose part is there. Raises NeedsParts where neither is."""
        available = tuple(there)
        sees, hears = (any(part in available for part in modality.PARTS) for modality in self.modalities)
        if sees == hears:
            self.reads(available)
            return self
        return self.seeing if sees else self.hearing

    def standardise(self, *inputs: Tensor) -> Tensor:  # noqa: ARG002
        """Each tower standardises its own input; there is no tensor of both."""
        raise DoesNotApply(f"the encoder '{self.name}' has two inputs, and its towers standardise one each")

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) or (B, T, C, H, W), and (B, S) -> maps, (B, channels, H', W'), and vectors (B, dim)."""
        pictures, sounds = inputs
        flat, several = self.seeing.folded(pictures)
        seen, heard = self.seeing.layers(*flat), self.hearing.layers(sounds)
        if several > 1:
            seen = {layer: found.reshape(-1, several, *found.shape[1:]).mean(1) for layer, found in seen.items()}
        return {
            **{f"{FRAMES}_{layer}": found for layer, found in seen.items()},
            FRAMES: self.seeing.pool(seen["res5"]),
            **{f"{SOUND}_{layer}": found for layer, found in heard.items()},
            SOUND: self.hearing.pool(heard["conv4"]),
        }

    def represent(self, *inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The layers, and both towers' vectors, concatenated: (B, dim)."""
        layers = self.layers(*inputs)
        return layers, torch.cat([layers[FRAMES], layers[SOUND]], dim=1)

    def heat(self, pictures: Tensor, sounds: Tensor) -> Tensor:
        """(B, C, H, W) and (B, S) -> (B, H', W') float32: cosine of each position's embedding and the sound's.

        Of clips (B, T, C, H, W) there is one map a frame, (B, T, H', W').
        """
        (flat,), several = self.seeing.folded(pictures)
        places = self.embed_frames(self.seeing.layers(flat)["res5"])
        heard = self.embed_sound(self.hearing(sounds)).repeat_interleave(several, 0)
        cosines = similarities(places, heard, "behw,be->bhw")
        return cosines if pictures.ndim == image.AXES + 1 else cosines.view(-1, several, *cosines.shape[1:])


def similarities(places: Tensor, heard: Tensor, pairs: str) -> Tensor:
    """The cosine of positions (B, E, H', W') and sounds (C, E), in float32.

    pairs: as torch.einsum is told it, "behw,be->bhw" for each frame with its own sound, (B, H', W'), and
    "behw,ce->bchw" for all frames with all sounds, (B, C, H', W').
    """
    with torch.autocast(places.device.type, enabled=False):
        one, two = (functional.normalize(each.float(), dim=1) for each in (places, heard))
        return torch.einsum(pairs, one, two)


def finer(network: ResNet) -> ResNet:
    """The network with stride 1 in its last stage, in place: maps of twice as many rows and columns."""
    for part in network.get_submodule("res5").modules():
        if isinstance(part, nn.Conv2d):
            part.stride = (1, 1)
    return network


FROM_DATA = ("channels",)
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = TwoTower
