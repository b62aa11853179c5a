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


def test_where_all_clips_of_a_video_agree_the_interval_is_that_of_so_many_videos() -> None:
    """Five of eight videos are right: about as wide as Wilson's of 5 in 8, far wider than of 50 in 80."""
    found, videos, clips = proportion("", "top1", HITS, VIDEOS), wilson(5, 8), wilson(50, 80)
    assert found.value == 5 / 8
    assert found.high - found.low == pytest.approx(videos[1] - videos[0], rel=0.2)
    assert found.high - found.low > 2 * (clips[1] - clips[0])


def test_where_clips_of_a_video_are_as_unlike_as_any_it_is_as_narrow_as_of_clips() -> None:
    spread = np.tile([True, False], 400)
    found, clips = proportion("", "top1", spread, np.repeat(np.arange(80), 10)), wilson(400, 800)
    assert found.high - found.low < clips[1] - clips[0]


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
