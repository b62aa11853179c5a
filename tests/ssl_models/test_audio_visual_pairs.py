"""Which pairs of a frame and a sound audio-visual correspondence is shown, and as which views."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ssl_models.methods.audio_visual import derangement
from ssl_models.modalities.inputs import inputs
from tests.ssl_models.clips import clips
from tests.ssl_models.test_audio_visual import STILL, method, parts, seeded

torch.set_num_threads(1)


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
    with pytest.raises(ValueError, match="a batch of 1 clip has no sound of another"):
        method().false_pairs(torch.zeros(1), seeded())


def test_a_view_is_one_frame_of_the_clip_and_its_sound() -> None:
    made = clips(64)
    pictures, heard, false = method(**STILL).views(*parts(made), seeded())
    assert torch.equal(heard, inputs(made["sound"]))
    errors = (inputs(made["frames"]) - pictures[:, None]).abs().amax((2, 3, 4))  # (B, T)
    torch.testing.assert_close(errors.amin(1), torch.zeros(64), atol=1e-4, rtol=0)
    assert len(errors.argmin(1).unique()) == 6, "every time is drawn"
    assert torch.equal(false, ~torch.eye(64, dtype=torch.bool)), "every clip is a source of its own"


def test_false_pairs_are_all_of_other_sources_or_one_each() -> None:
    source = torch.tensor([3, 3, 5, 6])
    assert method().false_pairs(source, seeded()).int().tolist() == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [1, 1, 0, 1],
        [1, 1, 1, 0],
    ]
    alone = method(negatives="one").false_pairs(source, seeded())
    assert alone.sum(1).tolist() == alone.sum(0).tolist() == [1, 1, 1, 1]
    assert not alone[:2, :2].any()
    together = method().false_pairs(torch.zeros(4), seeded())  # all of one source: the sounds of all other clips
    assert torch.equal(together, ~torch.eye(4, dtype=torch.bool))
