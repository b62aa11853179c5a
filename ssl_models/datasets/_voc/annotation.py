"""An annotation of PASCAL VOC: XML of any encoding, its boxes, and the picture's size when it was made."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from math import isfinite
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
WIDER = {"gb2312": "gb18030", "gbk": "gb18030"}
"""Encodings by which files name a smaller one than they use."""
SIDES = ("xmin", "ymin", "xmax", "ymax")


def parse(content: bytes) -> Element:
    """The root. expat knows few encodings, and none of several bytes but UTF: others are decoded here.

    Raises ElementTree.ParseError for what is no XML; ValueError for an encoding that is unknown or not the file's.
    """
    declared = DECLARED.match(content.removeprefix(codecs.BOM_UTF8))
    if not declared:
        return ElementTree.fromstring(content)
    name = declared[1].decode("ascii")
    try:
        known = codecs.lookup(name).name
        if known == "utf-8" or name.lower().startswith("utf-16"):  # that declaration could not be read in UTF-16
            known = "utf-8-sig"
        return ElementTree.fromstring(content.decode(WIDER.get(known, known)))
    except LookupError as error:
        raise ValueError(f"the encoding '{name}' of the annotation is not known") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the annotation is not in the encoding '{name}' that it names") from error


def size(annotation: Element) -> tuple[float, float] | None:
    """The picture's width and height, as annotated; None where there is none, or 0, which some programs write."""
    try:
        width, height = (_number(annotation, f"size/{side}") for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def refuse_shares(annotation: Element) -> None:
    """Raises ValueError for a box in shares of the sides; as VOC counts pixels, it would be a part of one."""
    for number, label, sides in whole_boxes(annotation):
        if min(sides) >= 0 and max(sides) <= 1 and sides[0] != sides[2] and sides[1] != sides[3]:
            given = ", ".join(f"{side:g}" for side in sides)
            raise ValueError(
                f"the box of object {number} ('{label}') is in shares of the sides ({given}), not in pixels"
            )


def whole_boxes(annotation: Element) -> Iterator[tuple[int, str, tuple[float, ...]]]:
    """Number, class and xmin, ymin, xmax, ymax of each object that has these four numbers."""
    for number, element in enumerate(annotation.findall("object"), 1):
        try:
            sides = tuple(_number(element, f"bndbox/{side}") for side in SIDES)
        except ValueError:
            continue
        yield number, label_of(element), sides


def label_of(element: Element) -> str:
    """The class of an object; "" where it has none."""
    return " ".join(element.findtext("name", "").split())


def edges(element: Element, width: float, height: float) -> list[float]:
    """left, top, right, bottom in pixels from 0, clipped to the picture; raises ValueError saying what is wrong."""
    if not label_of(element):
        raise ValueError("it has no name")
    lows, highs = [], []
    for axis, side in (("x", width), ("y", height)):
        low, high = sorted(_number(element, f"bndbox/{axis}{end}") for end in ("min", "max"))
        if low == high:
            raise ValueError(f"the box has no area: {axis}min and {axis}max are {low:g}")
        lows.append(max(low - 1, 0.0))
        highs.append(min(high, float(side)))
        if lows[-1] >= highs[-1]:
            raise ValueError(
                f"the box lies outside the picture of {width:g} x {height:g} pixels: {axis} from {low:g} to {high:g}"
            )
    return lows + highs


def _number(element: Element, path: str) -> float:
    text = element.findtext(path, "").strip()
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"{path.rpartition('/')[2]} = '{text}' is not a number")
    return value
