"""Words: (B, L) ids, stored as int32, and given to an encoder as int64; 0 stands for no word."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from ssl_models.bounds import require_fraction
from ssl_models.modalities.inputs import inputs
from ssl_models.views.drawing import uniform

PARTS = ("tokens",)
AXES = 1


@dataclass(frozen=True)
class MildViews:
    """(B, L) int32 -> (B, L) int64: words are left out (become 0), drawn for each word.

    Raises ValueError for a value out of range.

    word_dropout: probability that a word is left out. Default 0.1. Iyyer et al. 2015 (P15-1162, section 2.2) take 0.3
        for bags of words.
    """

    word_dropout: float = 0.1

    def __post_init__(self) -> None:
        require_fraction(word_dropout=self.word_dropout)

    def __call__(self, samples: Tensor, generator: Generator) -> Tensor:
        ids = inputs(samples)
        kept = uniform(generator, *ids.shape) >= self.word_dropout
        return ids * kept
