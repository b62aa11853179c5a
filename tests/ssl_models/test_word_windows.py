"""Words left out, windows and noise: what word2vec draws, by hand and by naive loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.views import word_windows

COUNTS = [0, 50, 30, 20, 10, 5, 1]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def texts(rows: int = 16, length: int = 12, seed: int = 0) -> Tensor:
    ids = torch.randint(1, len(COUNTS), (rows, length), generator=seeded(seed), dtype=torch.int32)
    ends = torch.randint(0, length + 1, (rows, 1), generator=seeded(seed + 1))
    return ids * (torch.arange(length) < ends)


def test_words_are_kept_as_often_as_in_the_papers_code() -> None:
    counts = torch.tensor([0, 900, 99, 1])
    found = word_windows.keep_probability(counts, 0.01)
    assert found[0] == 0
    assert found[1].item() == pytest.approx((math.sqrt(0.9 / 0.01) + 1) * 0.01 / 0.9)
    assert found[2].item() == pytest.approx((math.sqrt(0.099 / 0.01) + 1) * 0.01 / 0.099)
    assert found[3] == 1
    assert word_windows.keep_probability(counts, 0).tolist() == [0, 1, 1, 1]
    kept = word_windows.subsampled(torch.ones(200, 100, dtype=torch.int64), found, seeded())
    assert float((kept != 0).sum()) / 20000 == pytest.approx(found[1].item(), abs=0.01)


def test_what_is_left_out_leaves_no_hole() -> None:
    ids = texts(rows=64).long()
    kept = word_windows.subsampled(ids, torch.tensor([0.0, 0.0, 1, 1, 0.5, 1, 1]), seeded())
    assert not (kept == 1).any()
    for before, after in zip(ids.tolist(), kept.tolist(), strict=True):
        words = [word for word in after if word]
        assert after == words + [0] * (len(after) - len(words))
        assert [w for w in words if w != 4] == [w for w in before if w not in (0, 1, 4)]
    assert kept.shape[1] == max(1, int((kept != 0).sum(1).max()))


def test_pairs_are_the_words_within_the_window_of_the_same_row() -> None:
    ids = texts(rows=32).long()
    sizes = word_windows.window_sizes(ids, 4, seeded())
    assert sizes.unique().tolist() == [1, 2, 3, 4]
    paired = word_windows.pairs(ids, sizes, 4)
    offsets = [-4, -3, -2, -1, 1, 2, 3, 4]
    for row in range(32):
        for place in range(12):
            for slot, offset in enumerate(offsets):
                other = place + offset
                real = 0 <= other < 12 and bool(ids[row, place]) and bool(ids[row, other])
                assert bool(paired[row, place, slot]) == (real and abs(offset) <= int(sizes[row, place]))


def test_noise_is_drawn_by_the_counts_to_the_power() -> None:
    cumulative = word_windows.noise_distribution(torch.tensor(COUNTS), 0.75)
    drawn = word_windows.draw_noise(cumulative, (500, 400), seeded())
    assert drawn.shape == (500, 400)
    weights = torch.tensor(COUNTS, dtype=torch.float64) ** 0.75
    share = torch.bincount(drawn.flatten(), minlength=7) / drawn.numel()
    assert torch.allclose(share.double(), weights / weights.sum(), atol=0.004)
    assert share[0] == 0
