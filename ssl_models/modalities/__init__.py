"""What samples are made of: pictures, sound, words; one file each, which the encoders that read them import.

A modality's file states:

PARTS: the parts of a sample that it may be found in, e.g. ("images", "frames").
AXES: the axes of one input, e.g. 3 for a picture (C, H, W). Further axes, such as the frames of a clip, are folded into
    the batch (encoders/encoder.py).
MildViews: views for training on labels: callable with (samples as stored, generator) -> the encoder's inputs. Its
    fields are its settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

from torch import Generator, Tensor

from ssl_models.errors import NeedsParts

Modalities = tuple[ModuleType, ...]
"""Modules of this folder, in the order in which an encoder is given its inputs."""


def parts_of(modalities: Modalities, there: Iterable[str], reader: str) -> tuple[str, ...]:
    """For each modality the part that holds it in samples of the parts `there`.

    reader: what errors call the one that reads it. Raises NeedsParts for a modality that the samples do not have.
    """
    available, found = tuple(there), []
    for modality in modalities:
        part = next((part for part in modality.PARTS if part in available), None)
        if part is None:
            raise NeedsParts(modality.PARTS, available, reader)
        found.append(part)
    return tuple(found)


def mild_views(
    modalities: Modalities, shapes: Iterable[tuple[int, ...]], **settings: Any
) -> Sequence[Callable[[Tensor, Generator], Tensor]]:
    """The mild views of each modality, with those of `settings` that they have.

    shapes: for each modality that of the part which holds it, as the encoder is given it.
    """
    found = []
    for modality, shape in zip(modalities, shapes, strict=True):
        known = modality.MildViews.__dataclass_fields__
        given = settings | {"size": shape[-2:]}
        found.append(modality.MildViews(**{name: value for name, value in given.items() if name in known}))
    return found
