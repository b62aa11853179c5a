"""A frame of any size, shape of pixels and rotation as a square: its short side scaled, its middle kept."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy import ndarray

MOST_ASPECT = 10
"""Width of a pixel over its height, or the other way round; beyond it the header is at fault."""
LONGEST = 64
"""How many times as long as its short side a frame may be: all of it is scaled, and the middle kept."""


class Squares:
    """Scales the frames of one video. pixel: width of its pixels over their height, where the header tells it.

    whole: width and height of the last frame, upright and in square pixels.
    """

    def __init__(self, side: int, pixel: Fraction | None) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self.whole = (0, 0)
        self._side = side
        told = pixel is not None and 1 / MOST_ASPECT <= pixel <= MOST_ASPECT
        self._pixel = float(pixel) if told and pixel else 1.0
        self._reformatter = VideoReformatter()
        self._how = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

    def of(self, frame: Any) -> ndarray:
        """(3, side, side) uint8: bicubic, with antialiasing; turned and mirrored as the frame says.

        Raises ValueError for a frame that is over LONGEST times as long as wide.
        """
        wide, high = frame.width * self._pixel, frame.height
        scale = self._side / min(wide, high)
        width, height = max(self._side, round(wide * scale)), max(self._side, round(high * scale))
        if max(width, height) > LONGEST * self._side:
            raise ValueError(f"its frames have {frame.width:,} x {frame.height:,} pixels: too narrow for a square")
        scaled = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=self._how, threads=1)
        left, top = (width - self._side) // 2, (height - self._side) // 2
        square = scaled.to_ndarray()[top : top + self._side, left : left + self._side]
        square, turned = _upright(square, _matrix(frame))
        self.whole = (high, round(wide)) if turned else (round(wide), high)
        return np.ascontiguousarray(square.transpose(2, 0, 1))


def _matrix(frame: Any) -> tuple[int, int, int, int]:
    """(a, b, c, d): a point (x, y) of the frame is shown at (a x + c y, b x + d y), but for a shift and a scale."""
    told = frame.side_data.get("DISPLAYMATRIX")
    if told is None:
        return (1, 0, 0, 1)
    matrix = np.frombuffer(bytes(told), np.int32)
    return int(matrix[0]), int(matrix[1]), int(matrix[3]), int(matrix[4])


def _upright(square: ndarray, matrix: tuple[int, int, int, int]) -> tuple[ndarray, bool]:
    """Turned by a quarter or a half, mirrored, or neither; and whether width and height have changed places.

    PyAV's VideoFrame.rotation takes a mirrored frame for one that is turned by a half.
    """
    a, b, c, d = matrix
    turned = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if turned else (a, d)
    square = square.transpose(1, 0, 2) if turned else square
    return square[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1], turned
