"""Errors for data or an encoder that a method or a protocol cannot be applied to: most are findings, and no mistake.

And what is said of the errors of others.
"""

from __future__ import annotations

from collections.abc import Iterable


class DoesNotApply(ValueError):
    """A method or a protocol cannot be applied to these data or this encoder. The text says what is lacking."""


class NeedsParts(DoesNotApply):
    """A method, an encoder or a protocol reads parts of a sample that these data do not have.

    needed: of which one at least is needed. there: the parts that the samples have.
    """

    def __init__(self, needed: Iterable[str], there: Iterable[str], reader: str = "it") -> None:
        super().__init__(f"{reader} reads {' or '.join(needed)}, and these samples have {', '.join(there) or 'none'}")


class NeedsTruth(DoesNotApply):
    """A protocol needs annotations (boxes, keypoints, ...) that the data do not have."""


class NeedsLabels(NeedsTruth):
    """A method or a protocol learns from labels, and the data have none."""


class NeedsSamples(DoesNotApply):
    """The data have too few samples, in all or of a class, or too small ones."""


class NoSuchLayer(ValueError):
    """A protocol's settings ask for layers that the encoder does not have: right for another encoder, maybe."""


class Collapsed(DoesNotApply):
    """The encoder gives the same features for all samples."""


def first_line(error: BaseException, most: int = 300) -> str:
    """The beginning of a message, or the error's name where it has none; torch goes on for paragraphs."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]
