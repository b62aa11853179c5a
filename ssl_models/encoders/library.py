"""What the encoders made of other libraries' networks share: the models' names, their inputs, and their layers."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.errors import first_line
from ssl_models.modalities import image

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

NORMALISATIONS = ("auto", "own")
OWN = (0.5,), (0.25,)
"""The mean and deviation that the own encoders take out."""
MOST_BLOCKS = 12
"""So many blocks of a network of equal blocks are layers, the last one among them."""


class LibraryEncoder(Encoder):
    """A network of another library, which takes pictures."""

    modalities = (image,)

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """For the pictures' channels. Raises ValueError where the model cannot take pictures of their size."""
        shape = cls.input_shape(data)
        encoder = cls(**{"channels": shape[0]} | settings)
        require_input(encoder, shape, "pictures")
        return encoder


@contextmanager
def installed(package: str) -> Iterator[None]:
    """In it a library is imported. Raises ValueError, which says what to install, where that fails."""
    try:
        yield
    except ImportError as error:
        reason = f"the encoder '{package}' needs its library ({error}): pip install {package}"
        raise ValueError(reason) from error


def require_known(encoder: str, model: str, known: Iterable[str]) -> None:
    """Refuses a model that the library does not have, and names the closest."""
    names = list(known)
    if model in names:
        return
    close = difflib.get_close_matches(model[:100], names, n=3, cutoff=0.5)
    hint = (
        f"; the closest are {', '.join(close)}" if close else f"; it has {len(names)}, such as {', '.join(names[:5])}"
    )
    raise ValueError(f"encoder model '{model}' is unknown to {encoder}{hint}")


def require_settings(*, size: int, normalise: str) -> None:
    """Refuses a size below 0, and an unknown normalisation."""
    if size < 0:
        raise ValueError(f"encoder size is {size}; it must be at least 1, or 0 for the pictures' own")
    if normalise not in NORMALISATIONS:
        raise ValueError(f"encoder normalise is '{normalise}'; choose one of {', '.join(NORMALISATIONS)}")


def require_options(options: Mapping[str, Any], taken: Mapping[str, str]) -> None:
    """Refuses options that the encoder itself gives. taken: option -> the setting for it, "" where there is none."""
    for name in options:
        if name in taken:
            told = f"give the setting {taken[name]}" if taken[name] else "it is set by the encoder"
            raise ValueError(f"encoder options cannot have '{name}': {told}")


def built(encoder: str, make: Callable[..., Any], model: str, options: Mapping[str, Any]) -> Any:
    """`make(model, **options)`, a network. Raises ValueError, which names model and options, where it cannot be."""
    try:
        return make(model, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError, AttributeError) as error:
        reason = first_line(error)
        given = ", ".join(f"{name} {value}" for name, value in options.items()) or "its defaults"
        raise ValueError(f"encoder model '{model}' of {encoder} cannot be made with {given}: {reason}") from error


def blocks_shown(count: int) -> list[int]:
    """Which of `count` equal blocks are layers, from 0: at most MOST_BLOCKS at equal distances, with the last.

    >>> blocks_shown(24)
    [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
    """
    step = -(-count // MOST_BLOCKS)
    return list(range((count - 1) % step, count, step))


class Preparation(nn.Module):
    """(B, C, H, W) in [0, 1] -> (B, C, size, size), mean and deviation of each channel taken out.

    size: 0 leaves the size as it is. Pictures are scaled by bilinear interpolation, antialiased. Mean and deviation are
    saved with the weights, since another version of a library may have others.
    """

    def __init__(self, size: int, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.size = (size, size) if size else None
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        if self.size is not None and pictures.shape[2:] != self.size:
            pictures = functional.interpolate(pictures, size=self.size, mode="bilinear", antialias=True)
        return (pictures - self.mean) / self.deviation
