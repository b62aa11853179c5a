"""A bag of words: a table with a vector for each word; a text is the mean of its words' vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.modalities import words

if TYPE_CHECKING:
    from ssl_models.data import DataSpec


class Bag(Encoder):
    """(B, L) ids of words -> (B, width). The id 0 stands for no word: it is not counted, and its vector stays zero.

    A text without a word is represented by zeros. The table starts uniform in +-1 / (2 width), as in word2vec's code.

    vocabulary: how many words there are, that of no word among them; from_data takes it from the data.
    width: numbers of a vector. Default 100. Mikolov et al. 2013 (arXiv:1301.3781) take 50 to 1,000.
    """

    name = "bag"
    modalities = (words,)

    def __init__(self, *, vocabulary: int, width: int = 100) -> None:
        super().__init__()
        if vocabulary < 2 or width < 1:
            raise ValueError(
                f"encoder vocabulary is {vocabulary} and width is {width}; there must be a word besides that of no "
                "word, and a width of at least 1"
            )
        self.dim = width
        self.settings = {"vocabulary": vocabulary, "width": width}
        self.table = nn.Embedding(vocabulary, width, padding_idx=0)
        with torch.no_grad():
            self.table.weight.uniform_(-0.5 / width, 0.5 / width)
            self.table.weight[0] = 0

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """With a vector for each word of the data. Raises NeedsParts for data without words."""
        cls.reads(data.shapes)
        return cls(**{"vocabulary": len(data.known["counts"])} | settings)

    @property
    def vectors(self) -> Tensor:
        """(V, width): the vector of each word; that of no word, the first, is zero."""
        return self.table.weight

    def standardise(self, *inputs: Tensor) -> Tensor:
        """(B, L) ids -> (B, L) ids. Raises ValueError for an id that the table does not have."""
        (ids,) = inputs
        if ids.numel() and int(ids.max()) >= len(self.table.weight):
            raise ValueError(
                f"a word has the id {int(ids.max())}, and the encoder has {len(self.table.weight)} vectors"
            )
        return ids

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """words: (B, L) ids -> (B, width), the mean."""
        return {"words": self._mean}

    def pool(self, last: Tensor) -> Tensor:
        """(B, width), as it is."""
        return last

    def _mean(self, ids: Tensor) -> Tensor:
        counted = (ids != 0).sum(1, keepdim=True).clamp(min=1)
        mean: Tensor = self.table(ids).sum(1) / counted
        return mean


FROM_DATA = ("vocabulary",)
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = Bag
