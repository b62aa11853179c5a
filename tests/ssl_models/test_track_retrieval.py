"""Track retrieval: an oracle, a constant, colour alone, clips of one video, and what does not apply."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_models.errors import NeedsParts, NeedsSamples
from ssl_models.protocols import track_retrieval
from ssl_models.protocols._common.score import Findings
from tests.ssl_models import tracked

torch.set_num_threads(1)
COUNT = 24


def measured(reads: Callable[[Tensor], Tensor], **changed: object) -> Findings:
    return track_retrieval.evaluate(tracked.representation(reads, COUNT, **changed), seed=0)


def values(found: Findings) -> dict[str, float]:
    return {score.metric: score.value for score in found.scores}


def test_an_oracle_scores_one() -> None:
    found = measured(tracked.pixels)
    assert values(found) == {f"recall{rank}{of}": 1.0 for of in ("", "_grey", "_changed") for rank in (1, 5)}
    assert found.pictures["tracks"].shape[2] == 3


def test_a_constant_scores_chance() -> None:
    found = values(measured(lambda pictures: torch.ones(len(pictures), 4)))
    assert found["recall1"] == found["recall1_grey"] == 1 / COUNT
    assert found["recall5"] == 5 / COUNT


def test_colour_alone_finds_nothing_in_grey() -> None:
    def colour(pictures: Tensor) -> Tensor:
        means = pictures.mean((2, 3))
        return means - means.mean(1, keepdim=True) + 1e-3

    found = values(measured(colour))
    assert found["recall1"] > 0.9
    assert found["recall1_grey"] < 0.2


def test_shuffled_truth_scores_chance() -> None:
    """The last patches are those of other clips."""
    made = tracked.made(COUNT)
    made["frames"][:, 4] = np.roll(made["frames"][:, 4], 1, 0)
    assert values(measured(tracked.pixels, frames=made["frames"]))["recall1"] == 0.0


def test_same_seed_same_numbers() -> None:
    first, second = measured(tracked.pixels), measured(tracked.pixels)
    assert first.scores == second.scores
    assert np.array_equal(first.pictures["tracks"], second.pictures["tracks"])


def test_the_order_of_samples_does_not_matter() -> None:
    made, share = tracked.made(COUNT), np.linspace(0, 0.9, COUNT)[:, None, None, None]
    other = tracked.made(COUNT, seed=5)["frames"][:, 4]
    made["frames"][:, 4] = (1 - share) * made["frames"][:, 4] + share * other  # each changes by an amount of its own
    order = np.random.default_rng(0).permutation(COUNT)
    shuffled = {part: stored[order] for part, stored in made.items()}

    def coarse(pictures: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(pictures, 3).flatten(1) - 0.5

    assert measured(coarse, **shuffled).scores == measured(coarse, **made).scores


def test_patches_are_cut_at_the_first_and_the_last_time_of_a_track() -> None:
    """Where the patch is another thing at its last time, nothing but chance is left."""
    made = tracked.made(COUNT)
    made["frames"][:, 4] = tracked.made(COUNT, seed=5)["frames"][:, 4]
    assert values(measured(tracked.pixels, frames=made["frames"]))["recall1"] < 0.3
    made = tracked.made(COUNT)
    made["frames"][:, 5] = 0  # after the track has ended
    assert values(measured(tracked.pixels, frames=made["frames"]))["recall1"] == 1.0


def test_half_of_the_tracks_are_those_that_changed_most() -> None:
    """Every third last patch is turned: a network of pixels fails on these, and they are among the half that counts."""
    made = tracked.made(COUNT)
    made["frames"][::3, 4] = made["frames"][::3, 4].swapaxes(2, 3)[:, :, ::-1]
    tracks = made["tracks"].copy()
    tracks[::3, 1, 4] = [12.0, 8.0, 20.0, 16.0]  # where the turned patch lies
    found = values(measured(tracked.pixels, frames=made["frames"], tracks=tracks))
    assert found["recall1_grey"] == pytest.approx(2 / 3, abs=0.1)
    assert found["recall1_changed"] == pytest.approx(1 / 3, abs=0.1)


def test_clips_of_the_same_video_are_no_candidates() -> None:
    twice = tracked.made(COUNT // 2)
    frames, tracks = (np.repeat(twice[part], 2, 0) for part in ("frames", "tracks"))
    frames[::2, 4] //= 2  # the last patch of every other clip is darker, so that its twin's is as near
    source = np.repeat(np.arange(COUNT // 2, dtype=np.int32), 2)[:, None]

    def dark(pictures: Tensor) -> Tensor:
        return pictures.flatten(1)

    alone = values(measured(dark, frames=frames, tracks=tracks, source=source))
    assert alone["recall1"] == 1.0
    beside = values(measured(dark, frames=frames, tracks=tracks))  # every clip a source of its own
    assert beside["recall1"] < 1.0


@pytest.mark.parametrize("part", ["frames", "tracks"])
def test_missing_truth_is_told(part: str) -> None:
    with pytest.raises(NeedsParts, match="'track_retrieval' reads frames or tracks"):
        measured(tracked.pixels, **{part: None})


def test_too_few_tracks_do_not_apply() -> None:
    tracks = tracked.made(COUNT)["tracks"]
    tracks[1:] = 0
    with pytest.raises(NeedsSamples, match="1 of 24 test clips have a track of two frames; 2 are the least"):
        measured(tracked.pixels, tracks=tracks)
    with pytest.raises(NeedsSamples, match="0 of 24 test clips"):
        measured(tracked.pixels, tracks=tracks[:, :0])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="size = 4 must be a whole number of pixels, at least 8"):
        track_retrieval.evaluate(tracked.representation(tracked.pixels, 4), seed=0, size=4)
    with pytest.raises(ValueError, match="vectors of patches that are not finite"):
        measured(lambda pictures: torch.full((len(pictures), 2), torch.nan))
