"""Where it sounds: heat maps that are right, that only see, and that say nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_models.encoders.two_tower import TwoTower
from ssl_models.errors import DoesNotApply, NeedsLabels, NeedsParts, NeedsSamples
from ssl_models.protocols import localisation
from ssl_models.protocols._common.score import Findings
from tests.ssl_models import kinds
from tests.ssl_models.sounding import SIDE, Pointing, Seeing, Still, representation, squares

torch.set_num_threads(1)
METRICS = ("inside", "iou", "iou_at_50", "chosen")


@pytest.fixture(autouse=True)
def no_picture(monkeypatch) -> None:
    """It takes most of the time, and is looked at in test_localisation_picture.py."""
    monkeypatch.setattr(localisation, "draw", lambda clips: np.zeros((1, len(clips), 3), np.uint8))


def values(findings: Findings) -> dict[str, dict[str, float]]:
    """Row -> metric -> value."""
    found: dict[str, dict[str, float]] = {}
    for score in findings.scores:
        assert score.low <= score.value <= score.high
        found.setdefault(score.layer, {})[score.metric] = score.value
    return found


def measured(*given, seed: int = 0, **changed) -> dict[str, dict[str, float]]:
    return values(localisation.evaluate(representation(*given, **changed), seed=seed))


def moved(data: dict[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:
    """The same samples in another order."""
    place = np.argsort(order)
    boxes = data["boxes"].copy()
    boxes[:, 0] = place[boxes[:, 0].astype(int)]
    found = {part: data[part][order] for part in data if part != "boxes"}
    return found | {"boxes": boxes[np.argsort(boxes[:, 0], kind="stable")]}


def without(*kinds_of_truth: str) -> dict[str, dict[str, np.ndarray]]:
    made = {"train": squares(60, 0), "test": squares(120, 1)}
    return {split: {kind: own[kind] for kind in own if kind not in kinds_of_truth} for split, own in made.items()}


def test_rows_come_in_order_and_the_shares_have_wilson_s_interval() -> None:
    found = localisation.evaluate(representation(), seed=0)
    assert list(values(found)) == ["centre", "fixed place", "other sound", "heat"]
    assert [list(row) for row in values(found).values()] == [list(METRICS[:3])] * 2 + [list(METRICS)] * 2
    (best,) = [score for score in found.scores if (score.layer, score.metric) == ("heat", "inside")]
    assert (best.low, best.high) == (pytest.approx(120 / (120 + 1.96**2), abs=1e-4), 1)


def test_with_another_clip_s_sound_it_points_elsewhere() -> None:
    """Another class sounds there: the map is of the other square, or of none, and then says the middle."""
    found = measured()["other sound"]
    assert found["inside"] < 0.1
    assert found["chosen"] == pytest.approx(0.25, abs=0.1)  # the other square in half of the clips, else none


def test_a_map_that_only_sees_has_equal_rows_and_chooses_by_chance() -> None:
    found = measured(Seeing)
    assert found["heat"] == found["other sound"]
    assert found["heat"]["chosen"] == 0.5
    assert found["heat"]["inside"] == pytest.approx(0.5, abs=0.15)
    assert found["heat"]["iou"] == pytest.approx(0.5)  # of two squares of a size one is right


def test_coarse_maps_are_enlarged_to_the_frame() -> None:
    class Coarse(Pointing):
        def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:
            return torch.nn.functional.avg_pool2d(super().heat(frames, sounds), 4)

    found = measured(Coarse)["heat"]
    assert found["inside"] == found["chosen"] == 1
    assert 0.4 < found["iou"] < 0.9


def test_maps_of_several_frames_are_averaged() -> None:
    class Late(Pointing):
        """Of two frames the first is as warm everywhere."""

        def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:
            told = super().heat(frames, sounds)
            return torch.cat([torch.full_like(told, 0.4), told], 1)

    assert measured(Late)["heat"]["inside"] == 1


def test_neither_scale_nor_offset_of_a_map_matters() -> None:
    class Shifted(Pointing):
        def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:
            return 0.001 * super().heat(frames, sounds) - 7

    assert measured(Shifted) == measured()


def test_the_threshold_is_a_share_of_the_range() -> None:
    class Sloping(Pointing):
        """1 in the square, 0.6 elsewhere but for a corner of 0."""

        def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:
            told = 0.6 + 0.4 * super().heat(frames, sounds)
            told[:, :, :2, :2] -= 0.6
            return told

    low, high = (
        values(localisation.evaluate(representation(Sloping), seed=0, threshold=share))["heat"]["iou"]
        for share in (0.5, 0.7)
    )
    assert high > 0.9
    assert low < 0.1


def test_without_other_boxes_nothing_is_chosen_and_without_those_of_training_there_is_no_mean_box() -> None:
    assert [list(row) for row in measured(Pointing, without("boxes")).values()] == [list(METRICS[:3])] * 4
    data = without()
    del data["train"]["source_box"]
    found = measured(Pointing, data)
    assert list(found) == ["centre", "other sound", "heat"]
    assert list(found["centre"]) == ["inside"]


def test_the_fixed_place_is_that_of_the_training_boxes() -> None:
    """Two in three lie at the left, where the middle of the frame, and the mean of the boxes, is not."""
    data = without()
    for split, other in (("train", 20), ("test", 40)):
        own = data[split]["source_box"]
        own[:], own[:other] = (1, 1, 7, 7), (18, 15, 24, 21)
    found = measured(Pointing, data)
    assert found["fixed place"] == pytest.approx({"inside": 2 / 3, "iou": 2 / 3, "iou_at_50": 2 / 3})
    assert found["centre"]["inside"] == found["centre"]["iou_at_50"] == 0


def test_the_other_sound_is_of_a_class_that_is_not_seen_where_that_is_known() -> None:
    """Of three classes the third: the map then says the middle, and prefers neither square."""
    data = without()
    for own in data.values():
        table = own["boxes"].astype(int)
        own["present"] = np.zeros((len(own["labels"]), 3), np.int8)
        own["present"][table[:, 0], table[:, 1]] = 1
    found = measured(Pointing, data)
    assert found["other sound"]["chosen"] == 0.5
    assert found["other sound"]["inside"] == found["centre"]["inside"]
    assert found["heat"] == dict.fromkeys(METRICS, 1.0)


def test_clips_of_one_source_are_one_unit_of_an_interval() -> None:
    """Each clip four times: what is known of it is no more."""
    data = without("boxes")
    whole = {split: {part: np.repeat(own[part], 4, 0) for part in own} for split, own in data.items()}

    def wide(given: dict[str, dict[str, np.ndarray]], times: int) -> list[float]:
        sources = {split: np.repeat(np.arange(len(own["labels"]) // times), times) for split, own in given.items()}
        parts = {split: {part: own[part] for part in ("frames", "sound")} for split, own in given.items()}
        for split, own in parts.items():
            own["source"] = sources[split].astype(np.int32)[:, None]
        found = localisation.evaluate(representation(Seeing, given, samples=parts.__getitem__), seed=0)
        widths = {score.metric: score.high - score.low for score in found.scores if score.layer == "heat"}
        return [widths["inside"], widths["iou_at_50"]]  # of half of the clips, and of none

    single, again, apart = wide(data, 1), wide(whole, 4), wide(whole, 1)
    assert again == pytest.approx(single, rel=0.1)
    assert apart == pytest.approx([single[0] / 2, single[1] / 4], rel=0.1)


def test_samples_of_which_it_is_not_known_do_not_count() -> None:
    data = without()
    data["test"]["source_box"][::2] = 0
    found = localisation.evaluate(representation(Pointing, data), seed=0)
    assert values(found)["heat"]["inside"] == 1
    assert found.scores[-1].low == pytest.approx(60 / (60 + 1.96**2), abs=1e-4)


def test_the_encoder_of_two_towers_is_measured() -> None:
    torch.manual_seed(0)
    rows = measured(lambda: TwoTower(width=8, embedding=8))
    assert 0 <= rows["heat"]["inside"] < 0.7
    assert rows["heat"]["chosen"] == pytest.approx(0.5, abs=0.2)


def test_another_clip_is_one_of_another_source_where_classes_are_not_known() -> None:
    def no_labels(_split: str) -> np.ndarray:
        raise NeedsLabels("there are none")

    data = without()
    own = {split: {part: data[split][part] for part in ("frames", "sound")} for split in data}
    for split, parts in own.items():  # one source a class: other sources are other classes
        parts["source"] = data[split]["labels"].astype(np.int32)[:, None]
    found = localisation.evaluate(representation(labels=no_labels, samples=own.__getitem__), seed=0)
    assert values(found) == measured()


# ---- what every protocol shows


def test_an_oracle_scores_one() -> None:
    assert measured()["heat"] == dict.fromkeys(METRICS, 1.0)


def test_a_constant_scores_chance() -> None:
    """The middle of the frame, a choice by half, and no region."""
    found = measured(Still)
    assert found["heat"]["inside"] == found["centre"]["inside"]
    assert found["heat"]["chosen"] == 0.5
    assert found["heat"]["iou"] == 0
    assert found["heat"] == found["other sound"]


def test_shuffled_truth_scores_chance() -> None:
    data = {"train": squares(60, 0), "test": squares(500, 1)}
    other = moved(data["test"], np.random.default_rng(0).permutation(500))
    data["test"] |= {kind: other[kind] for kind in ("source_box", "boxes")}
    found = measured(Pointing, data)["heat"]
    assert found["inside"] == pytest.approx(36 / SIDE**2, abs=0.06)
    assert found["chosen"] == pytest.approx(0.5, abs=0.08)


def test_same_seed_same_numbers() -> None:
    first, again, other = (measured(seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first["other sound"] != other["other sound"]
    assert first["heat"] == other["heat"]


def test_the_order_of_samples_does_not_matter() -> None:
    data = without()
    changed = {
        split: moved(own, np.random.default_rng(2).permutation(len(own["labels"]))) for split, own in data.items()
    }
    for encoder in (Pointing, Seeing):
        expected, found = measured(encoder, data), measured(encoder, changed)
        assert found["heat"] == pytest.approx(expected["heat"])
        assert found["centre"] == pytest.approx(expected["centre"])
        assert found["other sound"] == pytest.approx(expected["other sound"], abs=0.12)


def test_missing_truth_is_told() -> None:
    found = localisation.evaluate(representation(Pointing, without("source_box")), seed=0)
    assert found.scores == []
    assert set(found.pictures) == {"heat"}
    assert found.notes == ("Where it sounds is not known of these data: there is the picture, and no score.",)
    nowhere = without()
    nowhere["test"]["source_box"][:] = 0
    assert localisation.evaluate(representation(Pointing, nowhere), seed=0).scores == []


@pytest.mark.parametrize("threshold", [0, 1, -0.5, float("nan")])
def test_bad_settings_are_refused(threshold: float) -> None:
    for function in (localisation.refuse, lambda **k: localisation.evaluate(representation(), seed=0, **k)):
        with pytest.raises(ValueError, match=r"threshold = .* must lie between 0 and 1"):
            function(threshold=threshold)


def test_what_does_not_apply_is_told() -> None:
    with pytest.raises(DoesNotApply, match="the encoder 'ear' gives no heat map of a frame and a sound"):
        localisation.evaluate(representation(kinds.Ear), seed=0)
    silent = representation(samples=lambda _: {"frames": squares(2)["frames"]})
    with pytest.raises(NeedsParts, match="the encoder 'pointing' reads sound, and these samples have frames"):
        localisation.evaluate(silent, seed=0)
    blind = representation(samples=lambda _: {"sound": squares(2)["sound"]})
    with pytest.raises(NeedsParts, match="reads images or frames, and these samples have sound"):
        localisation.evaluate(blind, seed=0)
    with pytest.raises(NeedsSamples, match="1 test sample: the sound of another clip takes at least 2"):
        localisation.evaluate(representation(Pointing, {"train": squares(3), "test": squares(1)}), seed=0)


def test_boxes_and_maps_that_are_none_are_refused() -> None:
    data = without()
    data["test"]["source_box"] = data["test"]["source_box"][1:]
    with pytest.raises(ValueError, match=r"test source_box of shape \(119, 4\) must be \(120, 4\)"):
        localisation.evaluate(representation(Pointing, data), seed=0)

    class Flat(Pointing):
        def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:  # noqa: ARG002
            return sounds

    class Lost(Pointing):
        def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:
            return super().heat(frames, sounds) / 0

    with pytest.raises(ValueError, match=r"heat of the encoder 'pointing' has the shape \(120, 400\) for 120 samples"):
        localisation.evaluate(representation(Flat), seed=0)
    with pytest.raises(ValueError, match="heat of the encoder 'pointing' holds numbers that are not finite"):
        localisation.evaluate(representation(Lost), seed=0)
