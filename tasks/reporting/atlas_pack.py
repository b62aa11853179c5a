"""Columns of a map packed for a page: quantised arrays behind a JSON header, compressed and as base64 text.

A packet is gzip(uint32 length of the header | header as UTF-8 JSON, padded with spaces | arrays), all little-endian;
every array begins at a multiple of four bytes. header["arrays"] maps names to [type, first byte, length], where the
type is a key of TYPES. `unpack` is the inverse, as the page's script does it.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

TYPES: dict[str, np.dtype[Any]] = {"u2": np.dtype("<u2"), "u4": np.dtype("<u4")}
UNKNOWN = {"u2": 2**16 - 1, "u4": 2**32 - 1}
"""What stands for a value that is not known: the largest of the type."""
STEPS = 2**16 - 2
"""The largest quantised number."""


def pack(header: Mapping[str, Any], arrays: Mapping[str, ndarray]) -> str:
    """A packet as base64 text. arrays: each of a type in TYPES, taken row by row."""
    flat = {name: np.ascontiguousarray(array).ravel() for name, array in arrays.items()}
    listed: dict[str, list[Any]] = {name: [array.dtype.str[1:], 0, len(array)] for name, array in flat.items()}
    room = len(_json({**header, "arrays": {name: [kind, 10**9, size] for name, (kind, _, size) in listed.items()}}))
    start = 4 + -(-room // 4) * 4
    parts, position = [], start
    for name, array in flat.items():
        listed[name][1] = position
        padded = array.astype(TYPES[listed[name][0]]).tobytes()
        padded += bytes(-len(padded) % 4)
        parts.append(padded)
        position += len(padded)
    text = _json({**header, "arrays": listed}).ljust(start - 4)
    content = struct.pack("<I", len(text)) + text + b"".join(parts)
    return base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode()


def unpack(packet: str) -> tuple[dict[str, Any], dict[str, ndarray]]:
    """The header and the flat arrays of a packet."""
    content = gzip.decompress(base64.b64decode(packet))
    (size,) = struct.unpack_from("<I", content)
    header = json.loads(content[4 : 4 + size])
    return header, {
        name: np.frombuffer(content, TYPES[kind], length, first)
        for name, (kind, first, length) in header["arrays"].items()
    }


def _json(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")


def indices(values: Iterable[int], most: int) -> ndarray:
    """Whole numbers from 0 to `most` in the smallest type that holds them; negative ones become UNKNOWN."""
    kind = "u2" if most < UNKNOWN["u2"] else "u4"
    found = np.asarray(values, dtype=np.int64)
    return np.where(found < 0, UNKNOWN[kind], found).astype(TYPES[kind])


def quantised(values: Sequence[float | None] | ndarray) -> tuple[ndarray, float, float]:
    """(N,) numbers -> (N,) uint16, lowest, highest: evenly from 0 for the lowest to STEPS for the highest.

    What is not finite becomes UNKNOWN. Half a step is the largest error.
    """
    found = np.array(values, dtype=np.float64)  # None becomes NaN
    known = np.isfinite(found)
    low, high = (float(found[known].min()), float(found[known].max())) if known.any() else (0.0, 0.0)
    steps = np.rint((found - low) / ((high - low) or 1.0) * STEPS)
    return np.where(known, steps, UNKNOWN["u2"]).astype(TYPES["u2"]), low, high


def coordinates(x: Sequence[float], y: Sequence[float]) -> ndarray:
    """(N, 2) uint16: the points in a square, the longer axis from 0 to STEPS, the shorter one in its middle.

    Raises ValueError where one is not finite.
    """
    points = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], 1)
    if not np.isfinite(points).all():
        raise ValueError("a coordinate is no finite number")
    low, high = points.min(0), points.max(0)
    reach = float((high - low).max()) or 1.0
    return np.rint(((points - (low + high) / 2) / reach + 0.5) * STEPS).astype(TYPES["u2"])


def rectangle(rows: Sequence[Sequence[Any]], width: int, lacking: float) -> ndarray:
    """Lists of at most `width` numbers as (N, width) float64; what a list lacks is `lacking`."""
    table = np.full((len(rows), width), float(lacking))
    for place, row in enumerate(rows):
        table[place, : len(row)] = row[:width]
    return table


def categories(values: Sequence[Any]) -> tuple[list[str], ndarray]:
    """The distinct values as text, the most frequent first, and each sample's place among them; None is unknown."""
    texts = [None if value is None else str(value) for value in values]
    names, counts = np.unique(np.array([text for text in texts if text is not None], dtype=object), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    listed = [str(names[place]) for place in order]
    at = {name: place for place, name in enumerate(listed)}
    return listed, indices([-1 if text is None else at[text] for text in texts], len(listed))
