"""How much two samples look alike, whatever a representation makes of them: a few numbers of each, compared.

numpy and PIL only. Legend: N samples, k neighbours, S numbers of a signature.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy import ndarray
from PIL import Image

SIDE = 8
"""Pixels of a side of the picture that a signature is made of."""
BUCKETS = 512
"""Numbers of a text's signature."""
ALIKE = 0.95
"""Two samples look alike from this correlation on. Of copies of photographs nearly all reach it that are recompressed,
resized or brighter, and most that are cropped by 4 %; of different photographs of CIFAR-10 one in 300 has another that
does."""


def of_pictures(pictures: Iterable[ndarray]) -> ndarray:
    """Pictures (H, W, 3) uint8 -> (N, S) float32 of unit length: 8 x 8 coloured pixels less their common mean.

    A picture's brightness and contrast change nothing. A picture of one colour has a signature of zeros.
    """
    small = [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BOX)) for one in pictures]
    return _unit(np.stack(small).reshape(len(small), -1))


def of_words(tokens: ndarray) -> ndarray:
    """(N, L) ids of words, 0 for none -> (N, S) float32 of unit length: how often each word occurs, in buckets."""
    rows = np.zeros((len(tokens), BUCKETS), np.float32)
    samples, places = np.nonzero(tokens)
    np.add.at(rows, (samples, tokens[samples, places] % BUCKETS), 1)
    return _unit(rows)


def agreement(signatures: ndarray, rows: ndarray) -> ndarray:
    """(N, S) and neighbours (N, k) -> (N, k) float32: the correlation of each sample with each of its neighbours.

    Of two signatures of zeros it is 1, of one 0.
    """
    found = np.empty(rows.shape, np.float32)
    empty = np.asarray(~signatures.any(1))
    for place in range(rows.shape[1]):
        other = rows[:, place]
        found[:, place] = np.einsum("ns,ns->n", signatures, signatures[other])
        found[empty & empty[other], place] = 1
    return found


def _unit(values: ndarray) -> ndarray:
    centred = values.astype(np.float32)
    centred -= centred.mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 1e-3)
