"""Tracks in clips: starts, places and sizes, what is lost, and the same result whatever is beside a clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.boxes import overlap
from ssl_models.datasets._video import tracker
from ssl_models.datasets._video.starts import start_boxes
from ssl_models.datasets._video.tracker import Patch, correlations, read, reduced, tracks
from tests.ssl_models.clips import clips

torch.set_num_threads(1)


def smooth(*shape: int, seed: int, coarse: int = 2) -> Tensor:
    """(*shape, H, W) of 0 to 255, whose details are of `coarse` pixels."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(*shape[:-2], shape[-2] // coarse, shape[-1] // coarse, generator=generator)
    return functional.interpolate(small, size=shape[-2:], mode="bilinear") * 255


def sliding(
    places: list[tuple[int, int]], side: int = 32, edge: int = 16, seed: int = 0, behind: Tensor | None = None
) -> Tensor:
    """(1, T, 3, side, side): a square with details of its own at `places` (left, top), before a still background."""
    scene, thing = smooth(1, 3, side, side, seed=seed), smooth(1, 3, edge, edge, seed=seed + 1)[0]
    frames = scene[:, None].repeat(1, len(places), 1, 1, 1).to(torch.uint8) if behind is None else behind.clone()
    for time, (left, top) in enumerate(places):
        frames[0, time, :, top : top + edge, left : left + edge] = thing.to(torch.uint8)
    return frames


def shift(found: Tensor) -> Tensor:
    """(T, 4) boxes -> (T, 2): how far left and top are from where they began."""
    return found[:, :2] - found[0, :2]


@pytest.mark.parametrize("step", [(1, 0), (0, 2), (1, 1), (-2, 1), (3, -2)])
def test_whole_shifts_are_found_exactly(step: tuple[int, int]) -> None:
    start = (0 if step[0] > 0 else 12, 0 if step[1] > 0 else 12)
    places = [(start[0] + step[0] * time, start[1] + step[1] * time) for time in range(5)]
    found = tracks(sliding(places))[0, 0]
    assert found[0].tolist() == [*places[0], places[0][0] + 16, places[0][1] + 16]
    assert torch.equal(shift(found), torch.tensor(places).float() - torch.tensor(places[0]))
    assert (found[:, 2:] - found[:, :2] == 16).all()


def test_larger_pictures_are_followed_as_exactly_as_they_are_reduced() -> None:
    places = [(6 + 6 * time, 30 - 3 * time) for time in range(6)]
    whole = tracks(sliding(places, side=96, edge=36))[0, 0]
    assert torch.equal(shift(whole), torch.tensor(places).float() - torch.tensor(places[0]))
    between = [(6 + 4 * time, 30 - time) for time in range(6)]
    found = tracks(sliding(between, side=96, edge=36))[0, 0]
    assert (found[:, 2] > 0).all()
    assert (shift(found) - (torch.tensor(between).float() - torch.tensor(between[0]))).abs().max() <= 3


def test_wide_frames_are_followed_over_their_whole_width() -> None:
    frames = torch.cat([sliding([(4 + 2 * time, 8) for time in range(5)]), sliding([(0, 0)] * 5, seed=9)], 4)
    turned = torch.cat([frames[..., 32:], frames[..., :32]], 4)
    first, second = tracks(frames)[0, 0], tracks(turned)[0, 0]
    assert torch.equal(second - first, torch.tensor([32.0, 0, 32, 0]).expand(5, 4))


def test_what_grows_and_shrinks_is_followed_in_size() -> None:
    thing, scene = smooth(1, 3, 48, 48, seed=3, coarse=6), smooth(1, 3, 32, 32, seed=4)
    frames = scene[:, None].repeat(1, 6, 1, 1, 1)
    for time in range(6):
        edge, left = 12 + 2 * (time // 2), 10 - time // 2 + time % 2
        small = functional.interpolate(thing, size=(edge, edge), mode="bilinear", antialias=True)
        frames[0, time, :, left : left + edge, left : left + edge] = small[0]
    for clip, change in ((frames, 16 / 12), (frames.flip(1), 12 / 16)):
        found = tracks(clip.to(torch.uint8))[0, 0]
        wide = found[:, 2] - found[:, 0]
        assert (wide > 0).all()
        assert float((wide[-1] / wide[0]).log()) / np.log(change) > 0.5


def test_nothing_moves_no_track() -> None:
    still = smooth(4, 3, 32, 32, seed=0).to(torch.uint8)[:, None].repeat(1, 6, 1, 1, 1)
    assert not tracks(still, most=2).any()
    assert not tracks(torch.full_like(still, 255)).any()


@pytest.mark.parametrize("deviation", [3, 10, 30])
def test_noise_is_no_movement(deviation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    still = smooth(32, 3, 32, 32, seed=0)[:, None]
    noisy = still + deviation * torch.randn(32, 8, 3, 32, 32, generator=generator)
    assert not tracks(noisy.round().clamp(0, 255).to(torch.uint8)).any()


def test_noise_does_not_hide_what_moves() -> None:
    places = [(2 + 2 * time, 8) for time in range(6)]
    generator = torch.Generator().manual_seed(0)
    frames = sliding(places).float()
    noisy = (frames + 10 * torch.randn(frames.shape, generator=generator)).round().clamp(0, 255).to(torch.uint8)
    found = tracks(noisy)[0, 0]
    assert (shift(found) - (torch.tensor(places).float() - torch.tensor(places[0]))).abs().max() <= 1


def test_a_track_ends_where_its_patch_is_hidden() -> None:
    frames = sliding([(4 + time, 8) for time in range(8)])
    frames[:, 5:] = smooth(1, 3, 32, 32, seed=0)[:, None].to(torch.uint8)  # the background alone
    found = tracks(frames)[0, 0]
    assert (found[:5, 2] > 0).all()
    assert not found[5:].any()


def test_a_track_whose_way_back_ends_elsewhere_is_dropped_as_a_whole() -> None:
    frames = sliding([(4 + time, 8) for time in range(8)])
    frames[:, 5:] = smooth(1, 3, 32, 32, seed=0)[:, None].to(torch.uint8)
    blind: dict[str, Any] = {"least": 0.0, "update": 1.0}  # goes on with whatever is the most similar
    assert tracks(frames, **blind, agreement=0.0)[0, 0, :, 2].gt(0).all()
    assert not tracks(frames, **blind, agreement=0.8).any()


def test_a_patch_that_is_gone_in_the_second_frame_is_no_track() -> None:
    frames = sliding([(8, 8)] * 4)
    frames[:, 1:] = smooth(1, 3, 32, 32, seed=0)[:, None].to(torch.uint8)
    assert not tracks(frames).any()


def test_boxes_stay_in_the_picture_where_what_they_follow_leaves_it() -> None:
    scene = sliding([(4 + 3 * time, 24 + time) for time in range(10)], side=64)[..., :40, :24]
    found = tracks(scene.contiguous())[0, 0]
    assert (found[0, 2:] > 0).all()
    assert found.min() >= 0
    assert found[:, 2].max() <= 24
    assert found[:, 3].max() <= 40
    assert not found[-1].any()


def test_two_things_are_two_tracks_that_begin_apart() -> None:
    first = sliding([(2, 2 + 2 * time) for time in range(5)], side=64, edge=24)
    both = sliding([(36 - 2 * time, 32) for time in range(5)], edge=24, seed=5, behind=first)
    found = tracks(both, most=3)[0]
    assert (found[:2, :, 2] > 0).all()
    assert not overlap(found[:1, 0], found[1:2, 0]).any()
    ways = {tuple(shift(path)[-1].tolist()) for path in found[:2]}
    assert ways == {(0.0, 8.0), (-8.0, 0.0)}


def test_a_clip_has_the_same_tracks_whatever_is_beside_it() -> None:
    frames = clips(40)["frames"]
    together = tracks(frames, most=2)
    assert together.any(3).any(2)[:, 0].float().mean() > 0.8
    assert torch.equal(torch.cat([tracks(clip[None], most=2) for clip in frames]), together)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tracks(frames[order], most=2, chunk=7), together[order])
    torch.set_num_threads(3)
    try:
        assert torch.equal(tracks(frames, most=2), together)
    finally:
        torch.set_num_threads(1)


def test_the_squares_of_made_up_clips_are_found_and_followed() -> None:
    made = clips(64, seed=3)
    true, found = made["tracks"][:, 0], tracks(made["frames"])[:, 0]
    seen = found[..., 2] > 0
    fast = shift_of(true).abs().amax(1) >= 5
    assert seen[fast].all(1).float().mean() > 0.9
    middle = (found[..., :2] + found[..., 2:]) / 2
    inside = ((middle > true[..., :2]) & (middle < true[..., 2:])).all(2)
    assert inside[seen].float().mean() > 0.95
    assert overlap(found[seen], true[seen]).mean() > 0.5


def shift_of(path: Tensor) -> Tensor:
    """(N, T, 4) -> (N, 2): from the first frame to the last."""
    return path[:, -1, :2] - path[:, 0, :2]


def naive_path(clip: np.ndarray, start: tuple[int, int], side: int, reach: int, update: float) -> list[list[int]]:
    """A clip (T, C, H, W) and the left and top of a square -> where it is in each frame, of the same size.

    Of all places in reach and in the picture, that of the largest correlation with the template.
    """
    (left, top), path = start, [list(start)]
    template = clip[0, :, top : top + side, left : left + side]
    for frame in clip[1:]:
        scores = {}
        for y in range(max(0, top - reach), min(frame.shape[1] - side, top + reach) + 1):
            for x in range(max(0, left - reach), min(frame.shape[2] - side, left + reach) + 1):
                patch = frame[:, y : y + side, x : x + side]
                scores[x, y] = np.corrcoef(patch.flatten(), template.flatten())[0, 1]
        left, top = max(scores, key=lambda place: scores[place])
        found = frame[:, top : top + side, left : left + side]
        template = np.round(template + update * (found - template))
        path.append([left, top])
    return path


def test_the_way_of_a_patch_is_that_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "GROWTH_GAIN", 3.0)  # so that no size but the own is ever better
    frames = clips(12, seed=5)["frames"]
    found = tracks(frames, search=0.125, update=0.25, least=0.0, agreement=0.0)[:, 0]
    compared = 0
    for clip, path in zip(frames.numpy().astype(np.float64) - 128, found, strict=True):
        left, top, right, _ = (int(edge) for edge in path[0])
        if right:
            expected = naive_path(clip, (left, top), right - left, reach=4, update=0.25)
            assert path[:, :2].tolist() == expected
            compared += 1
    assert compared > 8


def test_correlations_are_those_of_numpy() -> None:
    window = torch.randint(-128, 128, (2, 3, 12, 12), generator=torch.Generator().manual_seed(0)).float()
    template = torch.randint(-128, 128, (2, 3, 8, 8), generator=torch.Generator().manual_seed(1)).float()
    found = correlations(window, template)
    assert found.shape == (2, 5, 5)
    for row in range(2):
        for top in range(5):
            for left in range(5):
                patch = window[row, :, top : top + 8, left : left + 8].flatten().numpy()
                expected = np.corrcoef(patch, template[row].flatten().numpy())[0, 1]
                assert float(found[row, top, left]) == pytest.approx(expected, abs=1e-9)
    assert not correlations(torch.full((1, 3, 9, 9), 7.0), template[:1]).any()


def test_sums_of_the_largest_templates_are_exact_in_dark_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 47 px templates have 24: a sum of their squares near -128, over three channels, exceeds 2^24."""
    sides, errors = [], []

    def watched(windows: Tensor, templates: Tensor) -> Tensor:
        found, exact = correlations(windows, templates), correlations(windows.double(), templates.double())
        sides.append(templates.shape[-1])
        errors.append(float((found - exact).abs().max()))
        return found

    monkeypatch.setattr(tracker, "correlations", watched)
    frames = sliding([(2 + time, 8) for time in range(4)], side=47, edge=24) // 8
    assert tracks(frames)[0, 0, :, 2].gt(0).all()
    assert (max(sides), max(errors)) == (24, 0)


def test_a_patch_reads_pixels_their_means_between_and_the_edge_beyond() -> None:
    line = torch.arange(0.0, 64, 2).view(1, 1, 1, 32).expand(1, 1, 32, 32).contiguous()

    def row(x: float, scale: float = 1.0) -> list[float]:
        patch = Patch(torch.zeros(1, 1, 4, 4), torch.tensor([x]), torch.tensor([16.0]), torch.tensor([scale]))
        return read(line, patch, 4)[0, 0, 0].tolist()

    assert row(10.0) == [16, 18, 20, 22]  # the pixels from 8 to 12
    assert row(10.5) == [17, 19, 21, 23]
    assert row(10.0, 2.0) == [13, 17, 21, 25]
    assert row(0.0) == [0, 0, 0, 2]


def test_a_start_is_the_box_of_the_largest_difference_for_its_size() -> None:
    frames = sliding([(8, 8), (11, 8), (14, 8), (16, 8), (16, 10)], edge=12)
    clip = reduced(frames, 1)
    apart = (clip[0, 1:] - clip[0, :1]).abs().amax(1).sort(0).values[:2].mean(0).round()
    scores: dict[tuple[int, ...], float] = {}
    for side in (8, 12, 16):
        for top in range(33 - side):
            for left in range(33 - side):
                mean = float(apart[top : top + side, left : left + side].mean())
                scores[left, top, left + side, top + side] = mean * side**1.25
    assert start_boxes(clip, (8, 12, 16), 1)[0, 0].tolist() == list(max(scores, key=scores.__getitem__))


def test_a_fourth_channel_is_passed_over_and_one_channel_is_enough() -> None:
    frames = sliding([(4 + 2 * time, 8) for time in range(5)])
    depth = torch.randint(0, 255, (1, 5, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tracks(torch.cat([frames, depth], 2)), tracks(frames))
    assert torch.equal(shift(tracks(frames[:, :, :1])[0, 0])[:, 0], torch.arange(0.0, 10, 2))


def test_one_frame_and_no_clip_have_no_track() -> None:
    frames = clips(3)["frames"]
    assert tracks(frames[:, :1], most=2).shape == (3, 2, 1, 4)
    assert not tracks(frames[:, :1]).any()
    assert tracks(frames[:0]).shape == (0, 1, 6, 4)


@pytest.mark.parametrize(
    ("frames", "settings", "message"),
    [
        (torch.zeros(2, 5, 3, 32, 32), {}, "frames to track in are .* uint8; these are .* torch.float32"),
        (torch.zeros(5, 3, 32, 32, dtype=torch.uint8), {}, r"these are \(5, 3, 32, 32\)"),
        (torch.zeros(2, 5, 3, 12, 40, dtype=torch.uint8), {}, "frames are 12 x 40 px; tracks need at least 16 px"),
        (torch.zeros(2, 5, 3, 32, 32, dtype=torch.uint8), {"most": 0}, "most is 0"),
        (torch.zeros(2, 5, 3, 32, 32, dtype=torch.uint8), {"least": 1.5}, "least is 1.5"),
        (torch.zeros(2, 5, 3, 32, 32, dtype=torch.uint8), {"search": -0.1}, "search is -0.1"),
        (torch.zeros(2, 5, 3, 32, 32, dtype=torch.uint8), {"chunk": 0}, "chunk is 0"),
    ],
)
def test_what_cannot_be_tracked_in_is_refused(frames: Tensor, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tracks(frames, **settings)
