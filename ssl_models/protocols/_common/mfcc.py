"""Mel-frequency cepstral coefficients: the classical features of speech (Davis & Mermelstein 1980, IEEE TASSP 28(4)).

A frame is 25 ms long, and there is one every 10 ms. It goes through a Hamming window, its power spectrum through 40
triangular filters whose centres are equally far apart on the mel scale, and the logarithms of the filters' outputs
through a cosine transform, of which the first 13 coefficients are kept. The deltas are the slopes of a line through
five frames (Furui 1986, IEEE TASSP 34(1), equation 3).

numpy only. Legend: N recordings, S samples of each, T frames.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy import ndarray

from ssl_models.rows import Samples

WINDOW, HOP = 0.025, 0.010
"""Length of a frame and distance of two, in seconds."""
FILTERS, COEFFICIENTS = 40, 13
REACH = 2
"""Frames on either side that a delta is taken over."""
LEAST = 1e-8
"""The least output of a filter, about that of rounding to 16 bits."""
ROWS = 64
"""Recordings at a time: 64 of a second take 26 MB at 8 kHz."""


def mfcc(sound: Samples, rate: int, frames: int | None = None, lengths: ndarray | None = None) -> ndarray:
    """(N, S) int16 at `rate` Hz -> (N, T, 26) float32: 13 coefficients and their deltas.

    Frame t is centred in the 10 ms from 10 t ms on. Before and after the sound there is silence. frames: T; by default
    as many as the sound has centres for. lengths: (N,) how many samples of each are not padding at the end; frames
    beyond equal the last one within, so that the amount of padding changes nothing.
    """
    count = int(frames_of(np.array(sound.shape[1]), rate)) if frames is None else frames
    centres = np.floor((np.arange(count) + 0.5) * HOP * rate).astype(int)
    width = round(WINDOW * rate)
    places = centres[:, None] + np.arange(width) - width // 2  # (T, width)
    ends = np.full(len(sound), count) if lengths is None else np.minimum(frames_of(lengths, rate), count)
    found = np.empty((len(sound), count, 2 * COEFFICIENTS), np.float32)
    for begin in range(0, len(sound), ROWS):
        block = np.asarray(sound[begin : begin + ROWS])
        cepstra = _cepstra(block / np.float32(32768), places, rate)
        last = ends[begin : begin + ROWS, None] - 1
        cepstra = np.take_along_axis(cepstra, np.minimum(np.arange(count), last)[..., None], 1)
        found[begin : begin + ROWS] = np.concatenate([cepstra, _deltas(cepstra)], 2)
    return found


def pooled_mfcc(sound: Samples, rate: int, lengths: ndarray | None = None) -> ndarray:
    """(N, S) int16 -> (N, 52) float32: mean and deviation of each coefficient over a recording's frames."""
    blocks = [slice(begin, begin + ROWS) for begin in range(0, len(sound), ROWS)]
    ends = [None if lengths is None else lengths[block] for block in blocks]
    return np.concatenate([_pooled(sound[block], rate, own) for block, own in zip(blocks, ends, strict=True)])


def _pooled(sound: ndarray, rate: int, lengths: ndarray | None) -> ndarray:
    found = mfcc(sound, rate, lengths=lengths)
    ends = np.full(len(found), found.shape[1]) if lengths is None else frames_of(lengths, rate)
    within = (np.arange(found.shape[1]) < ends[:, None])[..., None]
    counts = within.sum(1)
    mean = (found * within).sum(1) / counts
    variance = (np.square(found - mean[:, None]) * within).sum(1) / counts
    return np.concatenate([mean, np.sqrt(variance)], 1).astype(np.float32)


def frames_of(samples: ndarray, rate: int) -> ndarray:
    """How many frames have their centre within so many samples; one at least."""
    return np.maximum(1, np.ceil(samples / (HOP * rate) - 0.5).astype(int))


def _cepstra(sound: ndarray, places: ndarray, rate: int) -> ndarray:
    """(B, S) float -> (B, T, 13). places: (T, width), where the samples of each frame lie; outside there is silence."""
    before, behind = max(0, -int(places.min())), max(0, int(places.max()) + 1 - sound.shape[1])
    padded = np.pad(sound, [(0, 0), (before, behind)])
    width = places.shape[1]
    points = 2 << (width - 1).bit_length()
    frames = padded[:, places + before] * np.hamming(width).astype(np.float32)
    turns = np.fft.rfft(frames.reshape(-1, width), points)
    power = np.square(turns.real) + np.square(turns.imag)
    filtered = np.log(np.maximum(power @ filters(points, rate).astype(power.dtype), LEAST))
    return (filtered @ _cosines()).reshape(*frames.shape[:2], COEFFICIENTS)


@lru_cache(maxsize=8)
def filters(points: int, rate: int) -> ndarray:
    """(points / 2 + 1, 40): the weights of the triangular filters at the frequencies of a Fourier transform.

    A filter rises from the centre of the one below to its own and falls to that of the one above, straight in mel.
    """
    mel = _mel(np.arange(points // 2 + 1) * rate / points)[:, None]
    step = _mel(np.array(rate / 2)) / (FILTERS + 1)
    centres = step * np.arange(1, FILTERS + 1)
    return np.maximum(0, 1 - np.abs(mel - centres) / step)


def _mel(hertz: ndarray) -> ndarray:
    """O'Shaughnessy 1987, Speech Communication, page 150."""
    return 2595 * np.log10(1 + hertz / 700)


def _cosines() -> ndarray:
    """(40, 13): the cosine transform, with columns of unit length."""
    row, column = np.arange(FILTERS)[:, None], np.arange(COEFFICIENTS)
    found = np.cos(np.pi * column * (row + 0.5) / FILTERS) * np.sqrt(2 / FILTERS)
    found[:, 0] /= np.sqrt(2)
    return found


def _deltas(cepstra: ndarray) -> ndarray:
    """(B, T, 13) -> the same shape: the slope over five frames; the first and last frames are repeated outwards."""
    padded = np.pad(cepstra, [(0, 0), (REACH, REACH), (0, 0)], mode="edge")
    count = cepstra.shape[1]
    slopes = sum(
        step * (padded[:, REACH + step : REACH + step + count] - padded[:, REACH - step : REACH - step + count])
        for step in range(1, REACH + 1)
    )
    return np.asarray(slopes / (2 * sum(step**2 for step in range(1, REACH + 1))))
