"""The sheets of thumbnails of a map as base64 text, made smaller where they take more bytes than allowed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALLER = ((1, 60), (1, 40), (2, 60), (2, 40), (4, 40))
"""By how much the sides are divided, and the quality as WebP, tried one after another."""


@dataclass(frozen=True)
class Sheets:
    """texts: a sheet each. layout: {"width", "height", "columns", "rows", "count"} of thumbnails, pixels and numbers."""

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
    for divided, quality in SMALLER:
        if sum(map(len, texts)) <= allowance:
            break
        side = (max(1, int(told["width"]) // divided), max(1, int(told["height"]) // divided))
        texts = [_smaller(path, layout["columns"], int(told["rows"]), side, int(told["height"]), quality) for path in paths]
        layout |= {"width": side[0], "height": side[1]}
    return Sheets(texts, layout)


def _smaller(path: Path, columns: int, rows: int, side: tuple[int, int], height: int, quality: int) -> str:
    """A sheet with thumbnails of another side. The last sheet may have fewer rows than `rows`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            lines = min(rows, image.height // height)
            small = image.convert("RGB").resize((columns * side[0], lines * side[1]), Image.Resampling.BOX)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture; run the stage atlas again") from error
    buffer = io.BytesIO()
    small.save(buffer, format="WEBP", quality=quality, method=4)
    return base64.b64encode(buffer.getvalue()).decode()
