"""Turns the frames of a decoder into int16 samples of one channel and one rate, a piece at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
from numpy import ndarray

PIECE = 2**15
"""Samples that are converted at once; a frame may have as few as a hundred."""


class Converter:
    """beyond: how many values of floating point exceeded full scale. peak: the largest of them, without its sign."""

    def __init__(self, rate: int) -> None:
        self.beyond = 0
        self.peak = 0.0
        self._rate = rate
        self._resampler: Any = None

    def all(self, frames: Iterable[Any]) -> Generator[ndarray, None, None]:
        """Pieces (S,) int16 of the sound of frames that share a rate. Raises ValueError for NaN and infinity."""
        waiting: list[ndarray] = []
        total, rate = 0, None
        for frame in frames:
            if rate not in (None, frame.sample_rate):
                raise ValueError(f"its rate changes on the way, from {rate:,} to {frame.sample_rate:,} Hz")
            rate = frame.sample_rate
            waiting.append(self._mono(frame))
            total += frame.samples
            if total >= PIECE:
                yield self._at_rate(np.concatenate(waiting), rate)
                waiting, total = [], 0
        if rate is not None:
            yield self._at_rate(np.concatenate(waiting or [np.empty(0, np.float32)]), rate, last=True)

    def _mono(self, frame: Any) -> ndarray:
        """(S,) float32 with full scale at 1, the mean of the channels."""
        values = frame.to_ndarray()
        if not frame.format.is_planar:
            values = values.reshape(frame.samples, -1).T  # (C, S)
        if values.dtype.kind == "f":
            values = self._clipped(values)
        scale = {"f": 1.0, "u": 2.0**7, "i": 2.0 ** (8 * values.dtype.itemsize - 1)}[values.dtype.kind]
        middle = 128 if values.dtype.kind == "u" else 0
        floating = (values.astype(np.float32) - middle) / np.float32(scale)
        return floating.mean(axis=0, dtype=np.float32) if len(floating) > 1 else floating[0]

    def _clipped(self, values: ndarray) -> ndarray:
        largest = float(np.abs(values).max(initial=0.0))  # NaN where there is any
        if not np.isfinite(largest):
            raise ValueError(f"it holds {'NaN' if np.isnan(largest) else 'infinity'}, which is no sound")
        if largest > 1:
            self.beyond += int((np.abs(values) > 1).sum())
            self.peak = max(self.peak, largest)
        return np.clip(values, -1, 1)

    def _at_rate(self, values: ndarray, rate: int, last: bool = False) -> ndarray:
        """(S,) float32 at `rate` -> (S',) int16; what the filter holds back comes with the next piece."""
        if rate != self._rate:
            values = self._resampled(values, rate, last)
        return np.clip(np.rint(values * 32768), -32768, 32767).astype(np.int16)

    def _resampled(self, values: ndarray, rate: int, last: bool) -> ndarray:
        import av

        if self._resampler is None:
            self._resampler = av.AudioResampler("flt", "mono", self._rate)
        found = []
        if len(values):
            frame = av.AudioFrame.from_ndarray(values[None], format="flt", layout="mono")
            frame.sample_rate = rate
            found += self._resampler.resample(frame)
        found += self._resampler.resample(None) if last else []
        return np.concatenate([frame.to_ndarray()[0] for frame in found] or [np.empty(0, np.float32)])
