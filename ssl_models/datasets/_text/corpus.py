"""A corpus in memory: one number a word, and the documents that the words lie in. The text itself is not kept.

Legend: D documents, M words of all of them together.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import files
from ssl_models.datasets._text.stream import Stream
from ssl_models.datasets._text.tokens import words

DOCUMENTS = ("auto", "lines", "blank_lines", "files")


@dataclass
class Corpus:
    """What has been read. documents: what one is, one of DOCUMENTS but for auto. most: bytes of text, about.

    share: of the bytes of all files that were read, 1 where nothing was left.
    """

    documents: str
    lower: bool
    most: float = float("inf")
    share: float = 1.0
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _ids: array[int] = field(default_factory=lambda: array("i"))
    _lengths: array[int] = field(default_factory=lambda: array("q"))
    _index: defaultdict[str, int] = field(default_factory=defaultdict)
    _size: int = 0

    def __post_init__(self) -> None:
        self._index.default_factory = self._index.__len__

    @property
    def ids(self) -> ndarray:
        """(M,) int32: which of `words` each word is, documents one after another."""
        return np.frombuffer(self._ids, np.int32) if self._ids else np.zeros(0, np.int32)

    @property
    def lengths(self) -> ndarray:
        """(D,) int64: words of each document; none is empty."""
        return np.frombuffer(self._lengths, np.int64) if self._lengths else np.zeros(0, np.int64)

    @property
    def words(self) -> list[str]:
        """In the order in which they were met."""
        return list(self._index)

    def read(self, paths: Sequence[Path], root: Path) -> None:
        """Reads all files. One of a folder, `root`, that cannot be read is left out and named in `skipped`.

        A file whose bytes are not all UTF-8 gets a note. Raises ValueError where the source itself cannot be read.
        """
        every, before = sum(path.stat().st_size for path in paths), 0
        for path in paths:
            stream, mark = Stream(path), (len(self._ids), len(self._lengths))
            name = files.printable(path.name if path == root else str(path.relative_to(root)))
            try:
                enough = self._read(stream)
            except ValueError as error:
                if path == root:
                    raise ValueError(f"'{path}': {error}") from error
                del self._ids[mark[0] :], self._lengths[mark[1] :]
                self.skipped.append(f"{name}: {error}")
                continue
            if stream.bad:
                self.notes.append(f"{name}: bytes that are not UTF-8 in {stream.bad:,} places, read as no letter")
            if enough:
                self.share = (before + stream.position) / every
                return
            self._size += stream.size
            before += path.stat().st_size

    def _read(self, stream: Stream) -> bool:
        """Whether enough was read, of this file and those before."""
        start = len(self._ids)
        for text, ends in stream.pieces():
            self._ids.extend(map(self._index.__getitem__, words(text, self.lower)))
            if (self.documents == "lines" and ends) or (self.documents == "blank_lines" and text.isspace()):
                start = self._end(start)
                if self._has_enough(stream):
                    return True
        self._end(start)
        return self._has_enough(stream)

    def _end(self, start: int) -> int:
        """Ends the document whose words began at `start`; gives where the next one's begin."""
        if len(self._ids) > start:
            self._lengths.append(len(self._ids) - start)
        return len(self._ids)

    def _has_enough(self, stream: Stream) -> bool:
        """Two documents at least, for there are two splits."""
        return self._size + stream.size > self.most and len(self._lengths) > 1
