"""Nearest neighbours by cosine, for features that need not fit into memory; what k-NN, retrieval and maps share.

numpy and faiss only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N samples of the gallery, M queries, B of a block, D features, k neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

from numpy import ndarray

from ssl_models.directions import Directions

QUERIES = 4096
GALLERY = 65536
"""Rows that are read, converted to float32 and compared at once: half a GiB at 512 features."""


def nearest(gallery: Directions, queries: Directions, neighbours: int) -> Iterator[tuple[int, ndarray, ndarray]]:
    """For each block of queries: its first row, the cosines (B, k) in descending order, and the rows (B, k) int64.

    k is `neighbours`, at most the size of the gallery. Each block of queries passes through the gallery once.
    """
    import faiss

    for begin, asked in queries.blocks(QUERIES):
        best = faiss.ResultHeap(len(asked), min(neighbours, len(gallery)), keep_max=True)
        for first, block in gallery.blocks(GALLERY):
            cosine, rows = faiss.knn(asked, block, min(neighbours, len(block)), faiss.METRIC_INNER_PRODUCT)
            best.add_result(cosine, rows + first)
        best.finalize()
        yield begin, best.D, best.I
