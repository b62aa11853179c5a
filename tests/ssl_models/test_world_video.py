import math
from typing import Any

import pytest
import torch

from ssl_models.boxes import overlap
from ssl_models.datasets import world_video
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._world import truth
from ssl_models.datasets._world.scene import FACTORS
from ssl_models.datasets._world.shapes import CLASSES
from ssl_models.datasets._world_video.motion import ACTIONS, DIALS

torch.set_num_threads(1)
TRUTH = {"labels.class", "labels.action", "frame_boxes", "frame_points", "frame_extent"}
POSES = {"position_x", "position_y", "orientation", "size", "stretch"}


@pytest.fixture(scope="module")
def seen() -> Dataset:
    return world_video.load(seed=3, train=96, test=20, tracks="true")


def test_load_gives_what_count_and_describe_say(seen: Dataset) -> None:
    settings: dict[str, Any] = {"train": 96, "test": 20, "tracks": "true"}
    assert world_video.count(**settings) == (len(seen.train), len(seen.test)) == (96, 20)
    shapes, known = world_video.describe(**settings)
    assert known == seen.known == {"fps": 10.0}
    assert shapes == {"frames": (10, 3, 32, 32), "tracks": (1, 10, 4), "source": (1,)}
    for split in (seen.train, seen.test):
        assert {part: tuple(values.shape[1:]) for part, values in split.parts.items()} == shapes
        types = {"frames": torch.uint8, "tracks": torch.float32, "source": torch.int32}
        assert {part: values.dtype for part, values in split.parts.items()} == types
        assert split.parts["source"][:, 0].tolist() == list(range(len(split)))
        assert set(split.truth) == TRUTH
        assert split.labels is not None
        assert torch.equal(split.labels, split.truth["labels.class"])
        assert split.truth["labels.action"].dtype == torch.int64
        assert set(split.factors) == {"class", "action", "speed", "camera", *FACTORS}
        assert all(len(values) == len(split) for values in split.factors.values())
        assert all(values.dtype == torch.float32 for values in split.factors.values())
        assert torch.equal(split.factors["action"], split.truth["labels.action"].float())


def test_other_sizes_and_frames() -> None:
    settings: dict[str, Any] = {"train": 3, "test": 2, "size": 40, "frames": 6, "tracks": "true"}
    data = world_video.load(seed=0, **settings)
    shapes, _ = world_video.describe(**settings)
    assert shapes["frames"] == (6, 3, 40, 40)
    assert {part: tuple(values.shape[1:]) for part, values in data.test.parts.items()} == shapes
    assert data.test.truth["frame_points"].shape == (2, 6, 4, 3)
    assert data.test.truth["frame_extent"].shape == (2, 6)


def test_classes_actions_and_points_have_names(seen: Dataset) -> None:
    assert seen.classes == CLASSES
    assert seen.label_sets == {"class": CLASSES, "action": ACTIONS}
    assert ACTIONS == ("slide", "hop", "sway", "spin", "grow", "shrink", "squash", "still")
    assert seen.points == truth.POINTS
    assert world_video.KIND == "video"


def test_defaults_are_the_dials_and_a_set_of_2560_clips() -> None:
    assert {name: world_video.load.__kwdefaults__[name] for name in DIALS} == DIALS
    assert world_video.count() == (2048, 512)


def test_same_seed_same_bytes_and_other_seeds_and_splits_differ() -> None:
    first, again, other = (world_video.load(seed=seed, train=12, test=12, tracks="true") for seed in (1, 1, 2))
    for split, same in ((first.train, again.train), (first.test, again.test)):
        assert torch.equal(split.parts["frames"], same.parts["frames"])
        assert all(torch.equal(values, same.truth[name]) for name, values in split.truth.items())
    clips = torch.cat([split.parts["frames"] for split in (first.train, first.test, other.train, other.test)])
    assert len(clips[:, 0].flatten(1).unique(dim=0)) == 4 * 12


def test_a_clip_does_not_depend_on_how_many_there_are(seen: Dataset) -> None:
    few = world_video.load(seed=3, train=7, test=1, tracks="true").train
    assert torch.equal(few.parts["frames"], seen.train.parts["frames"][:7])
    assert torch.equal(few.truth["frame_boxes"], seen.train.truth["frame_boxes"][:7])


def test_still_clips_are_one_frame_and_no_others_are(seen: Dataset) -> None:
    frames = seen.train.parts["frames"]
    changed = (frames[:, 1:] != frames[:, :1]).flatten(2).any(2).any(1)
    assert torch.equal(~changed, seen.train.truth["labels.action"] == ACTIONS.index("still"))


def test_only_the_object_changes_in_a_clip(seen: Dataset) -> None:
    """Beyond a pixel around all its boxes the picture stays as it is."""
    frames, boxes = seen.train.parts["frames"].int(), seen.train.truth["frame_boxes"][:, 0]
    changed = (frames - frames[:, :1]).abs().amax((1, 2)) > 1  # (N, H, W)
    for clip, (left, top), (right, bottom) in zip(changed, boxes[..., :2].amin(1), boxes[..., 2:].amax(1), strict=True):
        inside = clip[max(0, int(top) - 1) : int(bottom) + 1, max(0, int(left) - 1) : int(right) + 1]
        assert clip.sum() == inside.sum()


def test_boxes_are_around_what_differs_from_the_plain_background(seen: Dataset) -> None:
    frames, boxes = seen.train.parts["frames"].int(), seen.train.truth["frame_boxes"][:, 0]
    shown = ((frames - frames[..., :1, :1]).abs() > 12).any(2)  # (N, T, H, W)
    for axis, lines in ((0, shown.any(2)), (1, shown.any(3))):
        first = lines.int().argmax(2)
        last = 32 - lines.flip(2).int().argmax(2)
        assert (boxes[..., axis] - first).abs().float().mean() < 0.5
        assert (boxes[..., axis + 2] - last).abs().float().mean() < 0.5


def test_points_lie_at_the_edges_of_their_object_s_box(seen: Dataset) -> None:
    """In or near it, as ends that cover less than half of a pixel are left out of boxes; upright, at their own side."""
    boxes, points = seen.train.truth["frame_boxes"][:, 0], seen.train.truth["frame_points"]
    assert (points[..., 2] == 1).all()
    places = points[..., :2]
    outside = torch.maximum(boxes[:, :, None, :2] - places, places - boxes[:, :, None, 2:]).amax(3)
    assert outside.max() < 3
    assert outside.flatten().quantile(0.98) < 1.2
    tops, bottoms = (points[:, :, truth.POINTS.index(name), 1] for name in ("top", "bottom"))
    upright = seen.train.factors["orientation"].abs() < 0.2
    upright &= seen.train.truth["labels.action"] == ACTIONS.index("slide")
    assert upright.sum() > 1
    assert (tops - boxes[..., 1])[upright].abs().max() < 3
    assert (bottoms - boxes[..., 3])[upright].abs().max() < 3


def test_boxes_go_on_a_line_in_a_slide_and_grow_in_growth(seen: Dataset) -> None:
    boxes, actions = seen.train.truth["frame_boxes"][:, 0], seen.train.truth["labels.action"]
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    slides = centres[actions == ACTIONS.index("slide")]
    share = torch.linspace(0, 1, 10)[:, None]
    line = slides[:, :1] * (1 - share) + slides[:, -1:] * share
    assert (slides - line).abs().max() <= 1
    assert (slides[:, -1] - slides[:, 0]).norm(dim=1).min() > 2
    grown = (sides[:, -1] - sides[:, 0]).sum(1)
    assert grown[actions == ACTIONS.index("grow")].min() > 2
    assert grown[actions == ACTIONS.index("shrink")].max() < -2
    extent = seen.train.truth["frame_extent"]
    assert torch.equal(extent[:, -1] > extent[:, 0], actions == ACTIONS.index("grow"))


def test_factors_are_those_of_the_first_frame(seen: Dataset) -> None:
    assert torch.allclose(seen.train.factors["size"] * 32, seen.train.truth["frame_extent"][:, 0])
    boxes = seen.train.truth["frame_boxes"][:, 0, 0]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 64 - 0.5
    places = torch.stack([seen.train.factors["position_x"], seen.train.factors["position_y"]], 1)
    assert (middle - places).abs().mean() < 0.06


@pytest.mark.parametrize("dial", DIALS)
def test_dial_0_fixes_its_factors(dial: str) -> None:
    """Of clips where neither the object nor the camera moves, so that poses are as drawn."""
    base = dict.fromkeys(DIALS, 1.0) | {"speed": 0.0, "camera": 0.0}
    free, fixed = (
        world_video.load(seed=0, train=14, test=1, tracks="true", **{**base, dial: value}).train.factors
        for value in (1.0, 0.0)
    )
    for name in {name for name, factor in FACTORS.items() if factor.dial == dial} or {dial}:
        assert free[name].std(0).max() > 0.01
        assert fixed[name].std(0).max() == 0


def test_speed_0_leaves_every_clip_still_and_poses_as_drawn() -> None:
    still = world_video.load(seed=0, train=24, test=1, tracks="true", speed=0.0, position=0.0, orientation=0.0).train
    frames = still.parts["frames"]
    assert torch.equal(frames, frames[:, :1].expand_as(frames))
    for name in ("position_x", "position_y", "orientation"):
        assert still.factors[name].abs().max() == 0


def test_camera_moves_every_picture_of_a_pattern() -> None:
    panned = world_video.load(seed=0, train=24, test=1, tracks="true", camera=1.0, texture=1.0).train
    fixed = world_video.load(seed=0, train=24, test=1, tracks="true", texture=1.0).train
    corners = [split.parts["frames"][..., :3, :3].flatten(2).int() for split in (panned, fixed)]
    moved = [(corner[:, -1] - corner[:, 0]).abs().amax(1) for corner in corners]
    assert (moved[0] > 2).float().mean() > 0.8
    assert moved[1].max() == 0


def test_true_tracks_are_the_boxes_and_a_tracker_s_lie_on_what_moves(seen: Dataset) -> None:
    assert torch.equal(seen.train.parts["tracks"], seen.train.truth["frame_boxes"])
    found = world_video.load(seed=3, train=96, test=1).train
    assert torch.equal(found.parts["frames"], seen.train.parts["frames"])
    followed = found.parts["tracks"].any(3)[:, 0]
    still = found.truth["labels.action"] == ACTIONS.index("still")
    assert not followed[still].any()
    assert followed[~still].float().mean() > 0.7
    shared = overlap(found.parts["tracks"], found.truth["frame_boxes"])[:, 0]
    assert shared[followed].mean() > 0.5


def test_a_sweep_has_a_row_an_action_and_one_for_speed_and_camera() -> None:
    sweep, names = world_video.factor_sweep(seed=0, size=32, steps=5)
    assert names == (*ACTIONS, "speed", "camera")
    assert sweep.shape == (3, len(names) * 32, 5 * 32)
    assert sweep.dtype == torch.uint8
    for name, row in zip(names, sweep.int().split(32, 1), strict=True):
        first, *later = row.split(32, 2)
        assert any((first != other).any() for other in later) == (name != "still")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": 0}, "world_video train is 0; it must be at least 1"),
        ({"test": -1}, "world_video test is -1; it must be at least 1"),
        ({"size": 31}, "world_video size is 31 pixels; it must be at least 32"),
        ({"frames": 4}, "world_video frames is 4; it must be at least 5"),
        ({"seed": -1}, "world_video seed is -1; it must not be negative"),
        ({"tracks": "mine"}, "world_video tracks is 'mine'; choose one of tracker, true"),
        ({"speed": 1.5}, r"world_video dial speed is 1.5; it must be between 0"),
        ({"clutter": -0.1}, r"world_video dial clutter is -0.1; it must be between 0"),
        ({"texture": math.nan}, r"world_video dial texture is nan; it must be between 0"),
        ({"camera": 0.5}, "world_video camera is 0.5 before a plain background.*set one of gradient, texture, clutter"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    for refuse in (world_video.count, world_video.describe):
        with pytest.raises(ValueError, match=message):
            refuse(**settings)
    with pytest.raises(ValueError, match=message):
        world_video.load(**{"seed": 0, **settings})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="world_video dial 'pace' is unknown; choose from"):
        world_video.count(pace=0.5)
    with pytest.raises(ValueError, match="steps is 4; it takes at least 5"):
        world_video.factor_sweep(seed=0, steps=4)
