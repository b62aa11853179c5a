"""Contrastive losses as pure functions. Letters: B samples, N negatives, D dimensions.

Similarities are worked out in float32 even under autocast: at a temperature of 0.07, bfloat16 would round a logit by
as much as 0.06.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """(B, D) and (N, D) unit vectors -> (B, N) cosine similarities in float32."""
    with torch.autocast(first.device.type, enabled=False):
        return first.float() @ second.float().T


def unit(features: Tensor) -> Tensor:
    """(B, D) -> (B, D) of length 1, in float32."""
    return functional.normalize(features.float(), dim=1)


def nt_xent_logits(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """(B, D) and (B, D) projections of two views -> (2B, 2B) logits, minus infinity on the diagonal.

    The positive of row i is column (i + B) modulo 2B.
    """
    both = unit(torch.cat([first, second]))
    logits = similarity(both, both) / temperature
    return logits.fill_diagonal_(-math.inf)


def partners(batch: int, device: torch.device) -> Tensor:
    """(2B,) int64: the index, in a batch of two views, of each sample's other view."""
    return torch.arange(2 * batch, device=device).roll(batch)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The normalised-temperature cross entropy of SimCLR (Chen et al. 2020, arXiv:2002.05709, eq. 1), a scalar.

    l(i, j) = -log( exp(s(z_i, z_j) / t) / sum over k != i of exp(s(z_i, z_k) / t) ), s the cosine similarity,
    averaged over the 2B pairs (i, j) that are the two views of one sample, in both orders.
    """
    logits = nt_xent_logits(first, second, temperature)
    return functional.cross_entropy(logits, partners(len(first), logits.device))


@torch.no_grad()
def nt_xent_accuracy(first: Tensor, second: Tensor) -> Tensor:
    """How often a sample's other view is the most similar of the 2B - 1 others, a scalar."""
    nearest = nt_xent_logits(first, second, 1.0).argmax(1)
    return (nearest == partners(len(first), nearest.device)).float().mean()


def nt_xent_chance(batch: int) -> float:
    """NT-Xent of B pairs where all similarities are equal: log(2B - 1)."""
    return math.log(2 * batch - 1)


def clip_nt_xent(features: Tensor, clip: Tensor, source: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """NT-Xent of vectors (B, D), of which those of one clip belong together: three scalars.

    clip, source: (B,) int64, which clip a vector is of, and which video this is cut from. For each pair (i, j) of one
    clip, N(i) being the vectors of other sources than that of i:
        l(i, j) = -log( exp(s(z_i, z_j) / t) / (exp(s(z_i, z_j) / t) + sum over k in N(i) of exp(s(z_i, z_k) / t)) )
    Other clips of the same source are neither alike nor unlike, and are left out, as are the other vectors of the clip.
    With two vectors a clip, and a source for each clip, this is `nt_xent`.

    Returns the mean of l over all pairs; how often z_j is more similar to z_i than all of N(i); and chance, the mean of
    log(1 + the number of N(i)). Vectors without any N(i) have nothing to be told from, and do not count; all three are
    0 where no vector has.
    """
    vectors = unit(features)
    logits = similarity(vectors, vectors) / temperature  # (B, B)
    other = source[:, None] != source
    told = other.any(1)
    # Rows without negatives keep a finite number, whose gradient is finite, and are not counted.
    noise = logits.masked_fill(~other & told[:, None], -math.inf).logsumexp(1, keepdim=True)
    pairs = (clip[:, None] == clip) & told[:, None]
    pairs.fill_diagonal_(False)
    number = pairs.sum().clamp(min=1)
    loss = (functional.softplus(noise - logits) * pairs).sum() / number
    with torch.no_grad():
        hardest = logits.masked_fill(~other, -math.inf).amax(1, keepdim=True)
        accuracy = ((logits > hardest) & pairs).sum() / number
        levels = other.sum(1, keepdim=True).add(1).log()
        chance = (levels * pairs).sum() / number
    return loss, accuracy, chance


def info_nce(positive: Tensor, negative: Tensor) -> Tensor:
    """(B,) logits of the positives and (B, N) of the negatives -> the softmax loss of each sample, (B,).

    -log( exp(p) / (exp(p) + sum over n of exp(n)) ) (van den Oord et al. 2018, arXiv:1807.03748, eq. 4, with the
    positive in the denominator), which is softplus(log sum exp(n) - p).
    """
    return functional.softplus(negative.logsumexp(1) - positive)


def info_nce_in_batch(queries: Tensor, keys: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Unit vectors (B, D) of each -> InfoNCE of queries against all keys of the batch, and how often the own is first.

    The key of the same row is the positive. Two scalars; chance is log(B), that of `info_nce_chance(B - 1)`.
    """
    logits = similarity(queries, keys) / temperature
    own = torch.arange(len(logits), device=logits.device)
    return functional.cross_entropy(logits, own), (logits.argmax(1) == own).float().mean()


def info_nce_chance(negatives: int) -> float:
    """InfoNCE where all logits are equal: log(N + 1)."""
    return math.log(negatives + 1)


def pirl_nce(positive: Tensor, negative: Tensor) -> Tensor:
    """(B,) logits of the positives and (B, N) of the negatives -> PIRL's noise-contrastive loss of each sample, (B,).

    Misra & van der Maaten 2020, arXiv:1912.01991, eq. 3 and 4. With the query q = g(v_It), e(x) = exp(s(q, x) / t)
    and Z = sum over I' in D_N of e(v_I'):
        h(v_I, q) = e(v_I) / (e(v_I) + Z)
        L = -log h(v_I, q) - sum over I' in D_N of log(1 - h(q, v_I'))
    Of the two readings of the second h, the one taken here keeps the query's normaliser, so that h stays the
    probability of one posterior (that a pair with q came from the data, not from the noise); reading its arguments by
    their place would compare negatives with negatives. Then -log h = log(1 + Z / e) and -log(1 - h) = log(1 + e / Z).
    In the second term Z is held constant for the gradient, as in the estimator that PIRL took over (Wu et al. 2018,
    arXiv:1805.01978, eq. 6 and 7). Otherwise the term, concave in e / Z, would pull the hardest negatives closer.
    """
    noise = negative.logsumexp(1)  # (B,)
    return functional.softplus(noise - positive) + functional.softplus(negative - noise.detach()[:, None]).sum(1)


def pirl_nce_chance(negatives: int) -> float:
    """PIRL's loss where all logits are equal, h = 1 / (N + 1): log(N + 1) + N log(1 + 1 / N)."""
    return math.log(negatives + 1) + negatives * math.log1p(1 / negatives)
