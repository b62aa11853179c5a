"""What a form of export is: a file of this folder that states these names, see `Form`.

LIBRARY: what loads it. ENCODERS: the encoders that it is for, or () for all.
refusal(encoder, settings) -> why an encoder of these settings has no such form, or "". It does not import torch.
write(encoder, sample, source, folder) -> Loading: writes what is loaded into `folder`, but for the card. source: the
    folder that the encoder lies in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

WEIGHTS = "model.safetensors"
GIVEN = {"images": "pictures", "frames": "pictures", "sound": "sound", "tokens": "ids"}
"""Part of a sample -> what the lines of a card call a batch of it."""


@dataclass(frozen=True)
class Loading:
    """Lines of Python that load an export from its folder, and those that use it.

    imports, load: end with `model`; load has at most three lines. use: from a batch, see GIVEN, to `vectors`.
    arrays: whether batch and vectors are NumPy arrays, else they are tensors. packages: distributions that are needed.
    fixed: whether samples must have the stated shape. notes: sentences.
    """

    imports: tuple[str, ...]
    load: tuple[str, ...]
    use: tuple[str, ...]
    packages: tuple[str, ...]
    arrays: bool = False
    fixed: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One input of an encoder. part: of a sample of the data, see GIVEN. shape: without the batch, as in training."""

    part: str
    shape: tuple[int, ...]

    @property
    def given(self) -> str:
        """The name of a batch in a card's lines."""
        return GIVEN[self.part]


class Form(Protocol):
    """A file of this folder."""

    LIBRARY: str
    ENCODERS: tuple[str, ...]

    def refusal(self, encoder: str, settings: Mapping[str, Any]) -> str: ...

    def write(self, encoder: Encoder, sample: Sample, source: Path, folder: Path) -> Loading: ...
