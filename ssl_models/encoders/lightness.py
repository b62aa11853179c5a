"""An encoder that sees lightness alone: pictures differ for it only in L*, whatever their colours.

What learns from grey pictures must be shown grey pictures ever after. The three input channels of a network that was
trained on three equal ones got equal gradients, so that on colour pictures its first layer mixes the channels by
chance. Zhang, Isola & Efros 2016 (arXiv:1603.08511) evaluate their features on grey pictures, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from ssl_models.encoders import build_encoder, encoder_class
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import DoesNotApply
from ssl_models.modalities import image
from ssl_models.views.lab import LIGHTNESS_SCALE, rgb_to_lab

if TYPE_CHECKING:
    from ssl_models.data import DataSpec


class Lightness(Encoder):
    """Another encoder of pictures, which is given L* / 100 as three equal channels. Layers and vector are that one's.

    Inputs are (B, 3, H, W) in [0, 1], or lightness itself, (B, 1, H, W) in [0, 1].

    of: the other encoder, such as "resnet" or "vit". Default "resnet".
    settings: of the other encoder. Default none: its own defaults.
    """

    name = "lightness"
    modalities = (image,)

    def __init__(self, *, of: str = "resnet", settings: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._hold(build_encoder(of, **settings or {}))

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """Over an encoder for these data. Raises DoesNotApply for pictures of other than 3 channels."""
        other, own = settings.get("of", "resnet"), settings.get("settings") or {}
        return cls.over(encoder_class(other).from_data(data, **own))

    @classmethod
    def over(cls, encoder: Encoder) -> Self:
        """Over an encoder that there is, with its weights; one that sees lightness alone is given back as it is."""
        if isinstance(encoder, cls):
            return encoder
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made._hold(encoder)
        return made

    def _hold(self, encoder: Encoder) -> None:
        channels = encoder.settings.get("channels", 3)
        if encoder.modalities != (image,) or channels != 3:
            taken = f"pictures of {channels}" if encoder.modalities == (image,) else "no pictures alone"
            raise DoesNotApply(
                f"lightness is told of pictures of 3 channels, red, green and blue, and the encoder '{encoder.name}' "
                f"takes {taken}: give it one that takes 3"
            )
        self.network, self.dim, self.grid = encoder, encoder.dim, encoder.grid
        self.convolutional = encoder.convolutional
        self.settings = {"of": encoder.name, "settings": dict(encoder.settings)}

    @property
    def files(self) -> tuple[str, ...]:
        return (self.name, *self.network.files)

    def published_name(self, name: str) -> str:
        """The other encoder's."""
        return self.network.published_name(name.removeprefix("network."))

    def seen(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], or lightness (B, 1, H, W) in [0, 1] -> lightness as three equal channels."""
        lightness = pictures if pictures.shape[1] == 1 else rgb_to_lab(pictures)[:, :1] / LIGHTNESS_SCALE
        return lightness.expand(-1, 3, -1, -1)

    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, 3 or 1, H, W) in [0, 1] -> what the other encoder makes of the lightness."""
        return self.network.standardise(self.seen(inputs))

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The other encoder's."""
        return self.network.blocks()

    def pool(self, last: Tensor) -> Tensor:
        """The other encoder's."""
        return self.network.pool(last)

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """(B, 3 or 1, H, W) -> the other encoder's layers, of the lightness."""
        return self.network.layers(*map(self.seen, inputs))

    def represent(self, *inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, 3 or 1, H, W) -> the other encoder's layers and vectors (B, dim), of the lightness."""
        return self.network.represent(*map(self.seen, inputs))

    def vectors_of(self, *inputs: Tensor) -> Tensor:
        """(B, 3 or 1, H, W) -> (B, dim)."""
        return self.network.vectors_of(*map(self.seen, inputs))


ENCODER = Lightness
