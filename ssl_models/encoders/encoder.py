"""The contract of an encoder: the representation of a sample, and the layers that lead to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch import Tensor, nn

from ssl_models.errors import DoesNotApply
from ssl_models.modalities import Modalities, parts_of

if TYPE_CHECKING:
    from ssl_models.data import DataSpec


class Encoder(nn.Module, ABC):
    """Maps samples (B, ...) to representations (B, dim).

    It is given its inputs as `modalities/inputs.py` makes them, e.g. images as floats in [0, 1], and standardises them.

    An encoder whose layers are functions of each other in turn states `blocks` and `pool`. Another states `represent`,
    e.g. one whose representation is a token that is in no layer's map.
    """

    name: ClassVar[str]
    """The file of ssl_models/encoders that offers it."""

    modalities: ClassVar[Modalities]
    """What it reads, as modules of ssl_models/modalities; `forward` takes an input for each."""

    convolutional: bool = False
    """Whether it computes faster with its weights and maps in memory as (B, H, W, C), see `hardware.place`."""

    grid: tuple[int, int] | None = None
    """Down and across, of an encoder that has an embedding for each position of a grid which need not be square."""

    dim: int
    settings: dict[str, Any]
    """With `build_encoder(name, **settings)` an encoder of the same shape is made."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files of ssl_models/encoders that offer it and, after its own, the encoders that it is made of."""
        return (self.name,)

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:  # noqa: ARG003
        """A new encoder for these data: what its shape takes from them (channels, vocabulary) is filled in.

        A file whose encoder does so names those settings in the constant FROM_DATA.
        """
        return cls(**settings)

    @classmethod
    def input_shape(cls, data: DataSpec) -> tuple[int, ...]:
        """Of one input, e.g. (C, H, W) of a picture or of a frame. Raises NeedsParts for data without any."""
        part = cls.reads(data.shapes)[0]
        return tuple(data.shapes[part][-cls.modalities[0].AXES :])

    @classmethod
    def reads(cls, there: Iterable[str]) -> tuple[str, ...]:
        """Of the parts that samples have, those that it reads, one for each of its modalities.

        Raises NeedsParts for a modality that the samples do not have.
        """
        return parts_of(cls.modalities, there, f"the encoder '{cls.name}'")

    def reading(self, there: Iterable[str]) -> Encoder:  # noqa: ARG002
        """What of it reads samples of these parts: itself, or one of several encoders that it is made of."""
        return self

    def published_name(self, name: str) -> str:
        """What checkpoints of others call the weight `name` of this encoder."""
        return name

    @abstractmethod
    def standardise(self, *inputs: Any) -> Tensor:
        """(B, ...) in the range of the data -> the input of the first block."""

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Layer name -> the function from the activations of the layer before to its own, from first to last.

        Raises DoesNotApply where an encoder has no such functions.
        """
        raise DoesNotApply(
            f"the encoder '{self.name}' cannot compute one layer from the one before, which is needed to train one "
            "after another"
        )

    def pool(self, last: Tensor) -> Tensor:  # noqa: ARG002
        """The last layer's activations -> (B, dim)."""
        raise DoesNotApply(f"the representation of the encoder '{self.name}' is no function of its last layer")

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """(B, ...) -> the activations of each named layer, from first to last; images: (B, channels, H', W')."""
        hidden, found = self.standardise(*inputs), {}
        for layer, block in self.blocks().items():
            hidden = found[layer] = block(hidden)
        return found

    def represent(self, *inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, ...) -> `layers` of it, and its representation (B, dim): the last layer, pooled."""
        layers = self.layers(*inputs)
        return layers, self.pool(layers[next(reversed(layers))])

    def vectors_of(self, *inputs: Tensor) -> Tensor:
        """(B, ...) -> the representation alone (B, dim)."""
        return self.represent(*inputs)[1]

    def forward(self, *inputs: Tensor) -> Tensor:
        """(B, ...) -> (B, dim): the representation; of several inputs a sample, such as frames, their mean."""
        single, several = self.folded(*inputs)
        vectors = self.vectors_of(*single)
        return vectors if several == 1 else vectors.view(-1, several, vectors.shape[1]).mean(1)

    def folded(self, *inputs: Tensor) -> tuple[tuple[Tensor, ...], int]:
        """The inputs, with axes beyond those of one input folded into the batch; and how many inputs a sample has.

        A clip (B, T, C, H, W) becomes (B * T, C, H, W), and T. An encoder of several modalities folds for itself.
        """
        if len(self.modalities) > 1 or inputs[0].ndim == (axes := self.modalities[0].AXES) + 1:
            return inputs, 1
        (given,) = inputs
        flat = given.flatten(0, given.ndim - axes - 1)
        return (flat,), len(flat) // len(given)
