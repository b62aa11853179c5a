"""word2vec: a word is known by the words around it (Mikolov et al. 2013, arXiv:1301.3781 and 1310.4546)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.bag import Bag
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import DoesNotApply
from ssl_models.losses import negative_sampling
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.views.word_windows import (
    draw_noise,
    keep_probability,
    noise_distribution,
    pairs,
    subsampled,
    window_sizes,
)

OBJECTIVES = {"skip_gram": negative_sampling.skip_gram, "cbow": negative_sampling.cbow}


class Word2Vec(Method):
    """Negative sampling in windows that never cross a row, and so no document. Chance is (K + 1) log 2.

    The vectors that are saved are those of the encoder's table. A second table, which starts at zero as in word2vec.c,
    holds the vectors that are predicted; the first loss is exactly that of chance. A word of noise that is also the
    true one is not left out: at V words of equal frequency that is one draw in V.

    The paper trains by SGD, a pair at a time, with a rate that falls linearly from 0.025; here batches of rows and the
    trainer's optimiser do. Weight decay should be 0: rare words would shrink between their occurrences.

    objective: "skip_gram": each word predicts each word of its window. "cbow": the mean of the window predicts the
        word. Default "skip_gram". Paper both.
    window: the largest distance of two words; each word draws its own from 1 to this. Default 5. Paper 5 (CBOW's
        experiments: 4), and 10 in word2vec's advice for skip-gram.
    negatives: K, words of noise for a pair. Default 5. Paper 5 to 20 for small data, 2 to 5 for large.
    power: of the counts, for the noise's distribution. Default 0.75. Paper 3/4.
    subsample: t, see `keep_probability`; 0 keeps every word. Default 0.001. Paper 1e-5 for 10^9 words; word2vec.c 1e-3.
    shared: M, words of noise that are drawn for a row; each of its pairs counts K / M of each. Default 16. Own.
    """

    family = "predictive"
    reference = "Mikolov et al. 2013, arXiv:1310.4546"
    parts = ("tokens",)
    encoder: Bag

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "skip_gram",
        window: int = 5,
        negatives: int = 5,
        power: float = 0.75,
        subsample: float = 0.001,
        shared: int = 16,
    ) -> None:
        super().__init__(encoder)
        if not isinstance(encoder, Bag):
            raise DoesNotApply(f"word2vec learns a table of words, and the encoder '{encoder.name}' has none")
        require_choice("objective", objective, tuple(OBJECTIVES))
        require_positive(window=window, negatives=negatives, shared=shared)
        if not 0 <= power <= 10 or not 0 <= subsample < 1:
            raise ValueError(f"power is {power} and subsample is {subsample}; they must lie in [0, 10] and [0, 1)")
        counts = torch.as_tensor(data.known["counts"], dtype=torch.int64)
        if len(counts) != len(encoder.vectors) or not int(counts[1:].sum()):
            raise ValueError(
                f"there are counts of {len(counts)} words, of {int(counts[1:].sum())} occurrences, and vectors of "
                f"{len(encoder.vectors)}; word2vec needs a count for each, and one above 0"
            )
        self.objective, self.window, self.negatives, self.shared = objective, window, negatives, shared
        self.predicted = nn.Embedding(len(counts), encoder.dim, padding_idx=0)
        nn.init.zeros_(self.predicted.weight)
        self.keep: Tensor
        self.noise: Tensor
        self.register_buffer("keep", keep_probability(counts, subsample), persistent=False)
        self.register_buffer("noise", noise_distribution(counts, power), persistent=False)
        self.chance = negative_sampling.chance(negatives)

    def views(self, tokens: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, L) ids -> those kept (B, L'); which of its window each is paired with (B, L', 2 W); noise (B, M)."""
        ids = subsampled(inputs(tokens), self.keep, generator)
        paired = pairs(ids, window_sizes(ids, self.window, generator), self.window)
        return ids, paired, draw_noise(self.noise, (len(ids), self.shared), generator)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The objective; see losses/negative_sampling.py."""
        ids, paired, noise = views
        loss = OBJECTIVES[self.objective](
            self.encoder.table(ids), self.predicted(ids), paired, self.predicted(noise), self.negatives
        )
        return {"loss": loss}


METHOD = Word2Vec
