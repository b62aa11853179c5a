from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_models.encoders.two_tower import TwoTower
from ssl_models.errors import NeedsParts
from ssl_models.protocols import frame_neighbours
from ssl_models.protocols._common import neighbour_rows
from ssl_models.protocols._common.score import Findings, Representation
from ssl_models.protocols.frame_neighbours import taken
from ssl_models.rows import open_rows
from tests.ssl_models import kinds, poses
from tests.ssl_models.reads import Reads

METRICS = ["pose", "pose_at_5", "scene", "scene_at_5", "class", "class_at_5", "action", "action_at_5"]


def measured(given: Representation, seed: int = 0, **settings: int) -> dict[str, float]:
    return {score.metric: score.value for score in frame_neighbours.evaluate(given, seed=seed, **settings).scores}


def constant(pictures: Tensor) -> Tensor:
    return torch.ones(len(pictures), 3)


def mixed(pictures: Tensor) -> Tensor:
    return pictures.mean((2, 3)) - 0.5


def chance(given: Representation) -> dict[str, float]:
    """The mean of several random choices of neighbours."""
    several = [measured(given, seed) for seed in range(8)]
    return {metric: float(np.mean([one[metric] for one in several])) for metric in several[0]}


# ---- what the numbers say


def test_an_oracle_scores_one() -> None:
    found = frame_neighbours.evaluate(poses.representation(poses.pose), seed=0).scores
    assert [score.metric for score in found] == METRICS
    assert found[0].value > 0.95
    assert all(score.low <= score.value <= score.high for score in found)
    assert measured(poses.representation(poses.scene))["scene"] > 0.97
    assert measured(poses.representation(poses.kind))["class"] == 1


def test_the_pose_says_nothing_of_the_scene_and_the_scene_nothing_of_the_pose() -> None:
    assert abs(measured(poses.representation(poses.pose))["scene_at_5"]) < 0.05
    assert abs(measured(poses.representation(poses.scene))["pose_at_5"]) < 0.05


def test_the_class_says_nothing_of_the_pose() -> None:
    """Objects of another class lie otherwise: neighbours of the same class alone would be nearer than random frames."""
    found = chance(poses.representation(poses.kind))
    assert abs(found["pose"]) < 0.03


def test_a_constant_scores_chance() -> None:
    found = chance(poses.representation(constant))
    assert max(abs(found[metric]) for metric in ("pose", "pose_at_5", "scene", "scene_at_5")) < 0.03
    assert found["class"] == pytest.approx(1 / poses.CLASSES, abs=0.03)
    assert found["action"] == pytest.approx(1 / 2, abs=0.03)


def test_shuffled_truth_scores_chance() -> None:
    draws = np.random.default_rng(0)
    given = poses.representation(
        poses.pose,
        frame_points=lambda points: draws.permutation(points.reshape(-1, *points.shape[2:])).reshape(points.shape),
        labels=draws.permutation,
    )
    found = measured(given)
    assert abs(found["pose_at_5"]) < 0.06
    assert found["class_at_5"] == pytest.approx(1 / poses.CLASSES, abs=0.06)


def test_same_seed_same_numbers() -> None:
    first, second = (frame_neighbours.evaluate(poses.representation(mixed), seed=3) for _ in range(2))
    assert first.scores == second.scores
    assert (first.pictures["neighbours"] == second.pictures["neighbours"]).all()


def test_the_order_of_samples_does_not_matter() -> None:
    """But for the random frames that neighbours are compared with."""
    moved = poses.representation(mixed, **dict.fromkeys(poses.made(2, 0), reversed_rows))
    assert measured(moved) == pytest.approx(measured(poses.representation(mixed)), abs=0.02)


def reversed_rows(own: np.ndarray | dict[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
    return {name: values[::-1] for name, values in own.items()} if isinstance(own, dict) else own[::-1].copy()


def test_the_place_and_the_size_of_the_object_do_not_count() -> None:
    draws = np.random.default_rng(0)

    def moved(points: np.ndarray) -> np.ndarray:
        return points + np.append(draws.uniform(-9, 9, 2), 0).astype(np.float32)

    def larger(points: np.ndarray) -> np.ndarray:
        return points * np.array([3, 3, 1], np.float32)

    expected = measured(poses.representation(poses.pose))
    assert measured(poses.representation(poses.pose, frame_points=moved)) == pytest.approx(expected, abs=1e-5)
    scaled = poses.representation(poses.pose, frame_points=larger, frame_extent=lambda extent: 3 * extent)
    assert measured(scaled) == pytest.approx(expected, abs=1e-5)


def test_more_frames_are_more_queries_and_at_most_those_of_a_clip() -> None:
    given = poses.representation(poses.pose)
    assert measured(given, frames=50) == measured(given, frames=poses.FRAMES) != measured(given, frames=1)
    assert taken(10, 2).tolist() == [2, 7]
    assert taken(10, 1).tolist() == [5]
    assert taken(3, 7).tolist() == [0, 1, 2]


def test_windows_of_one_video_are_one_neighbour() -> None:
    """Each training clip is there five times, as five windows of a video."""
    once = poses.representation(poses.pose, train=40)
    data = poses.made(40, 0)
    five = {name: np.repeat(own, 5, 0) for name, own in data.items() if isinstance(own, np.ndarray)}
    factors = {name: np.repeat(own, 5, 0) for name, own in data["factors"].items()}
    given = replace(
        once,
        samples=lambda split: five if split == "train" else once.samples(split),
        truth=lambda split, name: {**five, "factors": factors}[name] if split == "train" else once.truth(split, name),
        labels=lambda split: five["labels"] if split == "train" else once.labels(split),
        files=lambda _: (),
    )
    expected, found = measured(once), measured(given)
    assert found == pytest.approx(expected, abs=0.03)
    assert abs(expected["class"] - expected["class_at_5"]) > 0.05, "as they would not differ if windows counted"


# ---- what is not there


def test_missing_truth_is_told() -> None:
    found = frame_neighbours.evaluate(nothing_known(), seed=0)
    assert found.scores == []
    assert found.pictures["neighbours"].shape[0] > 0
    picture = replace(poses.representation(poses.pose), samples=lambda _: {"images": np.zeros((9, 3, 8, 8), np.uint8)})
    with pytest.raises(NeedsParts, match="'frame_neighbours' reads frames, and these samples have images"):
        frame_neighbours.evaluate(picture, seed=0)


def nothing_known() -> Representation:
    return poses.representation(
        poses.pose, **dict.fromkeys(("labels", "labels.action", "frame_points", "frame_extent", "factors"))
    )


@pytest.mark.parametrize(
    ("without", "left"),
    [
        ("frame_points", METRICS[2:]),
        ("frame_extent", METRICS[2:]),
        ("factors", METRICS[:2] + METRICS[4:]),
        ("labels", METRICS[:4] + METRICS[6:]),
        ("labels.action", METRICS[:6]),
    ],
)
def test_what_the_truth_lacks_is_left_out(without: str, left: list[str]) -> None:
    found = measured(poses.representation(poses.pose, **{without: None}))
    assert list(found) == left
    assert found.get("pose", 1) > 0.5, "without labels frames of the other hand are neighbours too"


def test_a_background_that_is_the_same_everywhere_is_no_truth() -> None:
    def grey(factors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.zeros_like(values) for name, values in factors.items()}

    assert "scene" not in measured(poses.representation(poses.pose, factors=grey))


def test_an_encoder_of_frames_and_sound_is_read_by_its_tower() -> None:
    torch.manual_seed(0)
    both = TwoTower(width=4)
    whole = measured(replace(poses.representation(poses.pose), encoder=lambda: both))
    stored = next(weight for weight in both.seeing.parameters() if weight.ndim == 4)
    assert stored.is_contiguous(memory_format=torch.channels_last), "as when features are extracted"
    assert whole == measured(replace(poses.representation(poses.pose), encoder=lambda: both.seeing))
    with pytest.raises(NeedsParts, match="the encoder 'ear' reads sound, and these samples have frames"):
        frame_neighbours.evaluate(replace(poses.representation(poses.pose), encoder=kinds.Ear), seed=0)


@pytest.mark.parametrize("frames", [0, -1, 2.5, "all"])
def test_bad_settings_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        frame_neighbours.refuse(frames=frames)
    with pytest.raises(ValueError, match=f"frames = {frames!r}"):
        frame_neighbours.evaluate(poses.representation(poses.pose), seed=0, frames=frames)


def test_broken_truth_and_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"train .* \(160, 4, 3, 3\).* of 160 clips of 5 frames"):
        measured(poses.representation(poses.pose, frame_points=lambda points: points[:, :4]))
    with pytest.raises(ValueError, match="train frame_points that are seen must be finite"):
        measured(poses.representation(poses.pose, frame_points=lambda points: points * np.inf))
    broken = replace(poses.representation(poses.pose), encoder=lambda: Reads(lambda given: given.mean((2, 3)) / 0))
    with pytest.raises(ValueError, match="train vectors that are not finite"):
        measured(broken)


def test_samples_in_files_give_the_same(tmp_path: object) -> None:
    from pathlib import Path

    given, room = poses.representation(mixed), Path(str(tmp_path))
    for split in ("train", "test"):
        for part, stored in given.samples(split).items():
            np.save(room / f"{split}.{part}.npy", stored)
    on_disk = replace(
        given, samples=lambda split: {part: open_rows(room / f"{split}.{part}.npy") for part in ("frames", "source")}
    )
    first, second = (frame_neighbours.evaluate(one, seed=0) for one in (given, on_disk))
    assert first.scores == second.scores
    assert (first.pictures["neighbours"] == second.pictures["neighbours"]).all()


# ---- the picture


def shown(given: Representation) -> Findings:
    return frame_neighbours.evaluate(given, seed=4)


def test_the_picture_shows_a_frame_of_each_class_and_the_nearest_of_other_videos() -> None:
    found = shown(poses.representation(poses.pose))
    cell = 96 + 2 * neighbour_rows.FRAME + neighbour_rows.GAP
    picture, table = found.pictures["neighbours"], found.tables["neighbours"]
    assert picture.shape == (8 * cell, 11 * cell + 2 * neighbour_rows.FRAME, 3)
    data = {split: poses.made(count, seed) for split, count, seed in (("train", 160, 0), ("test", 80, 1))}
    assert list(table) == ["query", *map(str, range(1, 11))]
    for line in range(8):
        rows = [int(table[column][line].split("/")[1][:-4]) for column in table]
        assert len(set(rows[1:])) == 10
        for place, row in enumerate(rows):
            split, left = ("train", 2 * neighbour_rows.FRAME) if place else ("test", 0)
            inner = picture[line * cell + cell // 2, left + place * cell + cell // 2]
            assert inner.tolist() in data[split]["frames"][row, :, :, 4, 4].tolist()
            edge = tuple(picture[line * cell + cell // 2, left + place * cell + neighbour_rows.GAP // 2])
            same = data["train"]["labels"][row] == data["test"]["labels"][rows[0]]
            assert edge == (
                neighbour_rows.PLAIN if not place else (neighbour_rows.WRONG, neighbour_rows.RIGHT)[int(same)]
            )


def test_without_labels_the_picture_has_no_frames_and_queries_are_of_different_videos() -> None:
    def few(source: np.ndarray) -> np.ndarray:
        return source // 16

    given = replace(nothing_known(), samples=poses.representation(poses.pose, source=few).samples)
    found = shown(given)
    cell = 96 + 2 * neighbour_rows.FRAME + neighbour_rows.GAP
    picture, table = found.pictures["neighbours"], found.tables["neighbours"]
    assert picture.shape[0] == 5 * cell, "80 clips of 5 videos"
    assert len(table) == 1 + 10, "160 clips of 10 videos"
    assert len({int(name[5:-4]) // 16 for name in table["query"]}) == 5
    assert (picture[:, cell + 2 * neighbour_rows.FRAME + neighbour_rows.GAP // 2] == 255).all()
