"""The frame that an annotation counts in: the picture as it is stored or shown, now or before it was resized."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from ssl_models.datasets._voc import annotation as annotated

Size = tuple[float, float]
SIDEWAYS = (5, 6, 7, 8)
"""EXIF's orientations of a picture whose sides are exchanged when it is turned upright."""


@dataclass(frozen=True)
class Frame:
    """size: the width and height that the boxes count in. stored: those of the file. turn: what is left to do to the
    boxes for the upright picture, as EXIF's orientation; 1: nothing."""

    size: Size
    stored: Size
    turn: int = 1

    def upright(self, box: list[float]) -> list[float]:
        """left, top, right, bottom in pixels of the upright picture."""
        across, down = self.stored[0] / self.size[0], self.stored[1] / self.size[1]
        left, top, right, bottom = box[0] * across, box[1] * down, box[2] * across, box[3] * down
        width, height = self.stored
        if self.turn in (2, 3, 7, 8):
            left, right = width - right, width - left
        if self.turn in (3, 4, 6, 7):
            top, bottom = height - bottom, height - top
        return [top, left, bottom, right] if self.turn in SIDEWAYS else [left, top, right, bottom]


def find(annotation: Element, stored: Size, orientation: int) -> Frame:
    """The frame that the annotation's <size> tells; without one, that of the picture as it is stored.

    A picture that EXIF turns may have been annotated as it is stored or as it is shown. One that was resized since has
    sides in the same ratio. Sides that are exchanged without EXIF are a slip of the annotation's where a box reaches
    beyond them and all lie in the picture. Raises ValueError where the frame cannot be told.
    """
    given = annotated.size(annotation)
    shown = (stored[1], stored[0]) if orientation in SIDEWAYS else stored
    frames = [Frame(stored, stored, orientation)] + ([Frame(shown, shown)] if orientation != 1 else [])
    if given:
        frames = [frame for frame in frames if frame.size == given] or [
            Frame(given, frame.stored, frame.turn) for frame in frames if _resized(given, frame.size)
        ]
    if not frames and given == (stored[1], stored[0]) and _only_in(annotation, stored):
        return Frame(stored, stored)
    if not frames and given:
        raise ValueError(
            f"the annotation is of a picture of {given[0]:g} x {given[1]:g} pixels (its <size>), and the picture has "
            f"{shown[0]:g} x {shown[1]:g}: where its boxes lie is not known"
        )
    if len(frames) > 1 and annotation.find("object") is not None:
        raise ValueError(
            f"EXIF turns the picture (orientation {orientation}), and the annotation's <size> does not tell whether "
            "the boxes were drawn before or after: save the picture as it is shown"
        )
    return frames[0]


def _resized(given: Size, size: Size) -> bool:
    """Whether one factor makes `size` of `given`, each side rounded up or down to a whole pixel."""
    least = max((side - 1) / was for side, was in zip(size, given, strict=True))
    most = min((side + 1) / was for side, was in zip(size, given, strict=True))
    return least < most


def _only_in(annotation: Element, size: Size) -> bool:
    """Whether all boxes lie in a picture of that size, and one does not in a picture of exchanged sides."""
    boxes = [sides for _, _, sides in annotated.whole_boxes(annotation)]
    furthest = [max((max(box[axis], box[axis + 2]) for box in boxes), default=0) for axis in (0, 1)]
    inside = furthest[0] <= size[0] and furthest[1] <= size[1]
    return inside and (furthest[0] > size[1] or furthest[1] > size[0])
