"""A small picture of any sample, for pages and for pictures of neighbours: by the parts that it has.

numpy and PIL only: protocols that use faiss must not bring torch into their process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from ssl_models.rows import Samples

WINDOW, HOP = 256, 64
"""Of a spectrogram, in samples."""
SPECTROGRAM = (96, 64)
"""Width and height of a spectrogram's preview, in pixels."""
LARGEST, LARGEST_FRAME = 96, 64
"""Pixels of the longer side of a picture's preview, and of each frame's."""
FRAMES = 4
"""The most frames of a clip that its preview shows."""
DECIBELS = 60
"""Softer parts than this below the loudest are drawn black."""
SHADES = np.array([(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)], np.float64)
"""From soft to loud: five colours of matplotlib's magma."""
SIDE = 64
"""Width and height of the preview of a vector within its frame, in pixels; of a grid, about its longer side."""
AROUND = 4.0
"""Deviations from the mean that bars reach, and plots of numbers whose extent is not known."""
DOT = 2
"""Radius of a point in pixels."""
INK, PALE = (0, 114, 178), (224, 224, 224)
"""Of points and bars, and of the lines that stand for 0 or the mean."""
FRAME = 176
"""Grey of the line of one pixel around a vector."""
LINE, LINES, LETTERS = 13, 6, 34
"""Of a preview of text: the height of a line in pixels, how many lines there are, and letters in a line."""


def coloured(image: ndarray, times: int = 1) -> ndarray:
    """(C, H, W) uint8 -> (H * times, W * times, 3): each pixel becomes a square of times x times pixels.

    Of more than three channels the first three are shown. Of fewer than three the first is shown as grey.
    """
    colours = np.asarray(image)[[0, 1, 2] if len(image) >= 3 else [0, 0, 0]]
    return np.ascontiguousarray(colours.repeat(times, 1).repeat(times, 2).transpose(1, 2, 0))


def spectrogram(sound: ndarray) -> ndarray:
    """(S,) of any type -> (WINDOW / 2 + 1, frames) float64: power in decibels below the loudest, low pitches first."""
    padded = np.pad(np.asarray(sound, np.float64), (0, max(0, WINDOW - len(sound))))
    starts = range(0, len(padded) - WINDOW + 1, HOP)
    frames = np.stack([padded[start : start + WINDOW] for start in starts]) * np.hanning(WINDOW)
    power = np.square(np.abs(np.fft.rfft(frames))).T
    loudest = power.max()
    return 10 * np.log10(np.maximum(power, 1e-12 * loudest) / loudest) if loudest > 0 else np.full(power.shape, -120.0)


def shaded(decibels: ndarray, size: tuple[int, int]) -> ndarray:
    """A spectrogram as a picture of this width and height, (H, W, 3) uint8 with high pitches on top."""
    place = np.clip(1 + decibels[::-1] / DECIBELS, 0, 1) * (len(SHADES) - 1)
    colours = np.stack([np.interp(place, np.arange(len(SHADES)), SHADES[:, k]) for k in range(3)], -1)
    return np.asarray(Image.fromarray(colours.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR))


def _sound(parts: Mapping[str, ndarray], known: Mapping[str, Any]) -> ndarray:  # noqa: ARG001
    heard = parts["sound"]
    if "length" in parts:
        heard = heard[: max(1, int(parts["length"][0]))]
    return shaded(spectrogram(heard), SPECTROGRAM)


def _text(parts: Mapping[str, ndarray], known: Mapping[str, Any]) -> ndarray:
    words = known.get("words", ())
    text = " ".join(words[word] if word < len(words) else str(word) for word in parts["tokens"] if word)
    lines: list[str] = []
    ahead = text.split(" ")
    while ahead and len(lines) < LINES:
        line = ahead.pop(0)
        while ahead and len(line) + 1 + len(ahead[0]) <= LETTERS:
            line += " " + ahead.pop(0)
        lines.append(line)
    if ahead:
        lines[-1] = lines[-1][: LETTERS - 2] + " …"
    font = ImageFont.load_default(size=11)
    canvas = Image.new("RGB", (6 * LETTERS + 8, LINE * LINES + 6), "white")
    ImageDraw.Draw(canvas).multiline_text((4, 2), "\n".join(lines), fill="black", font=font, spacing=2)
    return np.asarray(canvas)


def _image(parts: Mapping[str, ndarray], known: Mapping[str, Any]) -> ndarray:  # noqa: ARG001
    return _at_most(coloured(parts["images"]), LARGEST)


def _frames(parts: Mapping[str, ndarray], known: Mapping[str, Any]) -> ndarray:
    """Frames from first to last at even steps; where there is sound, its spectrogram to their right."""
    frames = parts["frames"]
    chosen = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    strip = np.concatenate([_at_most(coloured(frames[index]), LARGEST_FRAME) for index in chosen], axis=1)
    if "sound" not in parts:
        return strip
    return np.concatenate([strip, _sized(_sound(parts, known), len(strip))], axis=1)


def _vectors(parts: Mapping[str, ndarray], known: Mapping[str, Any]) -> ndarray:
    """A grid of 0 (black) and 1 (white), two real numbers as a point in their extent, or any others as bars; framed."""
    drawn = _drawn(np.asarray(parts["vectors"], np.float64), known)
    return np.pad(drawn, ((1, 1), (1, 1), (0, 0)), constant_values=FRAME)


def _drawn(vector: ndarray, known: Mapping[str, Any]) -> ndarray:
    if known.get("binary"):
        if "grid" not in known:
            return _bars(vector, 0.0, 1.0)
        height, width = known["grid"]
        pixels = (255 * vector.reshape(1, height, width).clip(0, 1)).round().astype(np.uint8)
        return _at_most(coloured(pixels, max(1, round(SIDE / max(height, width)))), LARGEST)
    mean = np.broadcast_to(known.get("mean", 0.0), vector.shape)
    deviation = np.broadcast_to(known.get("deviation", 1.0), vector.shape)
    if len(vector) == 2:
        around = np.stack([mean - AROUND * deviation, mean + AROUND * deviation], 1)
        return _point(vector, np.asarray(known.get("extent", around), np.float64))
    return _bars((vector - mean) / np.where(deviation > 0, deviation, 1), -AROUND, AROUND)


def _point(vector: ndarray, extent: ndarray) -> ndarray:
    """(2,) as a point of a square plot of the extent (2, 2), the first number to the right and the second upwards."""
    low, high = extent.T
    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(canvas)

    def place(at: ndarray) -> tuple[float, float]:
        across, up = ((at - low) / np.where(high > low, high - low, 1)).clip(0, 1) * (SIDE - 1)
        return float(across), SIDE - 1 - float(up)

    across, down = place(np.zeros(2))
    draw.line((across, 0, across, SIDE - 1), PALE)
    draw.line((0, down, SIDE - 1, down), PALE)
    across, down = place(vector)
    draw.ellipse((across - DOT, down - DOT, across + DOT, down + DOT), INK)
    return np.asarray(canvas)


def _bars(vector: ndarray, low: float, high: float) -> ndarray:
    """(D,) as bars from 0, from left to right; of more than SIDE numbers some at even steps."""
    shown = np.linspace(0, len(vector) - 1, min(SIDE, len(vector))).round().astype(int)
    edges = np.linspace(0, SIDE, len(shown) + 1).round().astype(int)
    zero = round((SIDE - 1) * high / (high - low))
    ends = zero - np.round(vector[shown].clip(low, high) * (SIDE - 1) / (high - low)).astype(int)
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    picture[zero] = PALE
    for left, right, end in zip(edges[:-1], edges[1:], ends, strict=True):
        gap = 1 if right - left > 2 else 0
        if end != zero:
            picture[min(end, zero) : max(end, zero) + 1, left : right - gap] = INK
    return picture


def _at_most(picture: ndarray, largest: int) -> ndarray:
    """(H, W, 3) made smaller where its longer side has more pixels than `largest`."""
    return picture if max(picture.shape[:2]) <= largest else _scaled(picture, largest / max(picture.shape[:2]))


def _sized(picture: ndarray, height: int) -> ndarray:
    """(H, W, 3) at this height."""
    return picture if len(picture) == height else _scaled(picture, height / len(picture))


def _scaled(picture: ndarray, scale: float) -> ndarray:
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


KINDS: dict[str, Callable[[Mapping[str, ndarray], Mapping[str, Any]], ndarray]] = {
    "images": _image,
    "frames": _frames,
    "sound": _sound,
    "tokens": _text,
    "vectors": _vectors,
}
"""Part of a sample -> how it is drawn; the first that a sample has counts."""
COLUMNS = {"images": 16, "frames": 4, "sound": 8, "tokens": 4, "vectors": 16}
"""Previews in a row of a page."""
PIXELS = ("images", "frames")
"""Parts that may be enlarged or made smaller; the others are drawn at the size at which they are read best."""


def drawn_part(parts: Mapping[str, Any]) -> str | None:
    """The part by which such samples are drawn, None for samples that cannot be drawn."""
    return next((part for part in KINDS if part in parts), None)


def columns(samples: Mapping[str, Any]) -> int:
    """How many previews of such samples stand in a row of a page."""
    return COLUMNS.get(drawn_part(samples) or "", 1)


def preview(samples: Mapping[str, Samples], row: int, known: Mapping[str, Any]) -> ndarray:
    """One of the samples, part -> (N, ...) as stored, as (H, W, 3) uint8. known: what the reader tells.

    All samples of a data set give the same size. Raises ValueError for samples that cannot be drawn.
    """
    part = drawn_part(samples)
    if part is None:
        raise ValueError(f"samples of {', '.join(samples)} cannot be drawn")
    return KINDS[part]({name: np.asarray(stored[row]) for name, stored in samples.items()}, known)
