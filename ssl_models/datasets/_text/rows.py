"""Documents cut into rows of one length; a row never holds words of two documents.

Legend: D documents, M words of all of them together, N rows, L words of a row.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray


def rows_of(lengths: ndarray, length: int) -> ndarray:
    """(D,) words of each document -> (D,) rows that it takes."""
    return -(-lengths // length)


def rows(ids: ndarray, lengths: ndarray, length: int) -> ndarray:
    """(M,) ids of documents one after another, and their lengths (D,) -> (N, L) int32, 0 at the end of what is short.

    No array of positions is made: for a large corpus that would take several times its size.
    """
    taken = rows_of(lengths, length)
    found = np.zeros((int(taken.sum()), length), np.int32)
    flat, start, place = found.reshape(-1), 0, 0
    for words, own in zip(lengths.tolist(), taken.tolist(), strict=True):
        flat[place : place + words] = ids[start : start + words]
        start, place = start + words, place + own * length
    return found
