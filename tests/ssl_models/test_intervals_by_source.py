"""Intervals of samples that were cut from fewer videos: by video, where that makes a difference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy import ndarray

from ssl_models.errors import NeedsTruth
from ssl_models.protocols import knn, linear
from ssl_models.protocols._common.checks import shared_sources
from ssl_models.protocols._common.intervals import over_sources, proportion, wilson
from ssl_models.protocols._common.score import Representation

HITS = np.repeat([True, False, True, True, False, True, False, True], 10)
VIDEOS = np.repeat(np.arange(8), 10)


def test_each_sample_a_source_of_its_own_is_wilson_s() -> None:
    assert proportion("a", "top1", HITS, np.arange(80)) == proportion("a", "top1", HITS)


def test_where_all_clips_of_a_video_agree_the_interval_is_of_so_many_videos() -> None:
    """Five of eight videos are right: variance 15 / 64 / 7, as of 7 trials, and t of 7 degrees of freedom is 2.3646.

    The ends solve (p - 5/8)^2 = 2.3646^2 p (1 - p) / 7.
    """
    found, clips = proportion("", "top1", HITS, VIDEOS), wilson(50, 80)
    assert found.value == 5 / 8
    for end in (found.low, found.high):
        assert (end - 5 / 8) ** 2 == pytest.approx(2.364624**2 * end * (1 - end) / 7, rel=1e-5)
    assert found.high - found.low > 2 * (clips[1] - clips[0])


@pytest.mark.parametrize("videos", [2, 80])
def test_where_clips_of_a_video_are_as_unlike_as_any_it_is_hardly_wider_than_of_clips(videos: int) -> None:
    """And no narrower, though every video has the same share: two that agree do not make a point."""
    half = np.tile([True, False], 400)
    found, clips = proportion("", "top1", half, np.repeat(np.arange(videos), 800 // videos)), wilson(400, 800)
    assert found.low < clips[0]
    assert found.high > clips[1]
    if videos == 80:
        assert found.high - found.low < 1.02 * (clips[1] - clips[0])


@pytest.mark.parametrize("values", [HITS, np.linspace(0.2, 0.9, 80)])
def test_one_video_is_one_sample(values: ndarray) -> None:
    """Its clips tell nothing of other videos. The ends solve (p - value)^2 = 1.96^2 p (1 - p)."""
    found = over_sources("", "top1", values.astype(float), np.zeros(80, np.int64), seed=0)
    for end in (found.low, found.high):
        assert (end - found.value) ** 2 == pytest.approx(1.959964**2 * end * (1 - end), rel=1e-5)


def test_of_few_videos_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Shares of videos from 0 to 1, evenly: the truth is 1/2. Ten clips of each of five videos, 400 times."""
    draws = np.random.default_rng(0)
    sources, held = np.repeat(np.arange(5), 10), []
    for _ in range(400):
        found = proportion("", "top1", draws.random(50) < np.repeat(draws.random(5), 10), sources)
        held.append(found.low <= 0.5 <= found.high)
    assert np.mean(held) > 0.93


def test_all_right_is_so_many_videos_right() -> None:
    found = over_sources("", "top1", np.ones(80), VIDEOS, seed=0)
    assert (found.low, found.high) == wilson(8, 8)


def representation(source: ndarray | None) -> Representation:
    """Of two classes that features tell but for noise."""
    draws = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    features = (labels[:, None] + draws.normal(0, 0.6, (80, 4))).astype(np.float32)

    def samples(_: str) -> dict[str, ndarray]:
        if source is None:
            raise NeedsTruth("there are none")
        return {"frames": np.zeros((80, 2, 3, 8, 8), np.uint8), "source": source[:, None].astype(np.int32)}

    return Representation(("pooled",), lambda *_: features, lambda _: labels, 2, samples=samples)


@pytest.mark.parametrize("protocol", [linear, knn])
def test_protocols_ask_what_samples_were_cut_from(protocol: object) -> None:
    """Numbers are the same, and so are intervals where no two clips share a video."""
    alone, known, shared = (
        protocol.evaluate(representation(source), seed=0).scores[0]  # type: ignore[attr-defined]
        for source in (None, np.arange(80), VIDEOS)
    )
    assert alone == known
    assert shared.value == alone.value
    assert (shared.low, shared.high) != (alone.low, alone.high)


def test_what_shares_a_source_is_known_only_where_samples_do() -> None:
    assert shared_sources(representation(None)) is None
    assert shared_sources(representation(np.arange(80))) is None
    found = shared_sources(representation(VIDEOS))
    assert found is not None
    assert found.tolist() == VIDEOS.tolist()
