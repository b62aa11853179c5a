"""The sheets of thumbnails of a map as base64 text, made smaller where they take more bytes than allowed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALLER = ((1, 60), (1, 40), (3 / 4, 50), (1 / 2, 60), (1 / 2, 40), (1 / 4, 40))
"""What the sides are multiplied by, and the quality as WebP, tried one after another."""


@dataclass(frozen=True)
class Sheets:
    """texts: a sheet each. layout: width and height of a thumbnail, columns and rows of a sheet, count of all."""

    texts: list[str]
    layout: dict[str, int]


def embedded(folder: Path, told: Mapping[str, Any], allowance: int) -> Sheets:
    """The sheets that maps.json tells of, in `allowance` bytes of text if that can be; none where it tells of none.

    Raises ValueError naming the file where a sheet is not found.
    """
    paths = [folder / str(name) for name in told.get("sheets") or ()]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"{missing[0]} was not found; run the stage atlas again")
    if not paths:
        return Sheets([], {"width": 0, "height": 0, "columns": 1, "rows": 1, "count": 0})
    layout = {name: int(told[name]) for name in ("width", "height", "columns", "rows", "count")}
    texts = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    for share, quality in SMALLER:
        if sum(map(len, texts)) <= allowance:
            break
        smaller = layout | {side: max(1, round(int(told[side]) * share)) for side in ("width", "height")}
        texts = [_smaller(path, told, smaller, quality) for path in paths]
        layout = smaller
    return Sheets(texts, layout)


def _smaller(path: Path, told: Mapping[str, Any], layout: Mapping[str, int], quality: int) -> str:
    """A sheet with thumbnails of another size. It may have fewer rows than maps.json tells: the last one has."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            size = (layout["columns"] * layout["width"], image.height // int(told["height"]) * layout["height"])
            small = image.convert("RGB").resize(size, Image.Resampling.BOX)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture; run the stage atlas again") from error
    buffer = io.BytesIO()
    small.save(buffer, format="WEBP", quality=quality, method=4)
    return base64.b64encode(buffer.getvalue()).decode()
