"""False pairs of audio-visual correspondence: no sound of its own clip, nor of its recording if there are others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.methods.audio_visual import derangement


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def sources(*counts: int) -> Tensor:
    """So many samples of each source, mixed."""
    found = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return found[torch.randperm(len(found), generator=seeded(5))]


@pytest.mark.parametrize("counts", [(1,) * 16, (2, 3, 1, 2), (4, 4), (3, 3, 2), (1, 1), (5, 1, 4)])
def test_no_sound_is_of_its_own_clip_or_of_the_same_source(counts: Sequence[int]) -> None:
    source = sources(*counts)
    for seed in range(40):
        found = derangement(source, seeded(seed))
        assert sorted(found.tolist()) == list(range(len(source)))
        assert (source[found] != source).all()


@pytest.mark.parametrize("counts", [(5, 1), (6, 2, 1), (4,), (3, 2), (2,)])
def test_where_more_than_half_are_of_one_source_as_few_as_can_be_are_of_the_same(counts: Sequence[int]) -> None:
    """Of B samples, m of one source: the B - m others serve as many of them, and m - (B - m) are left."""
    source = sources(*counts)
    least = max(counts) - (len(source) - max(counts))
    for seed in range(40):
        found = derangement(source, seeded(seed))
        assert sorted(found.tolist()) == list(range(len(source)))
        assert (found != torch.arange(len(source))).all()
        assert int((source[found] == source).sum()) == least


def test_every_other_sample_is_drawn_equally_often() -> None:
    generator, counts = seeded(), torch.zeros(5, 5)
    for _ in range(2000):
        found = derangement(torch.arange(5), generator)
        counts[torch.arange(5), found] += 1
    assert not counts.diagonal().any()
    others = counts[~torch.eye(5, dtype=torch.bool)]
    assert (others - 500).abs().max() < 100  # 500 expected, with a deviation of 19


def test_a_batch_of_one_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 1 clip has no sound of another"):
        derangement(torch.zeros(1), seeded())
