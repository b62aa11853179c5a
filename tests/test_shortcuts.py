"""`python -m benchmarks.shortcuts`: shortcuts that were planted are found, and where there is none it says a half."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor

from benchmarks import answering, order_alone, shortcuts, sound_alone
from benchmarks.answering import Answer, answered, learnt
from ssl_models.datasets._common.split import Split
from ssl_models.methods.audio_visual import derangement
from ssl_models.methods.shuffle_and_learn import ORDERS
from ssl_models.protocols._localisation.measures import holds
from tests.ssl_models.clips import clips

torch.set_num_threads(1)
ANSWERS = [Answer("a", 0.5, 0.45, 0.55, (0.5, 0.25)), Answer("b", 0.9, 0.88, 0.925, (0.8, 1.0))]


def sliding(count: int, seed: int) -> Split:
    """Squares that slide straight on, each clip with its box in every frame."""
    made = clips(count, seed)
    truth = {"frame_boxes": made["tracks"][:, :1], "labels.action": torch.arange(count) % 2}
    return Split({"frames": made["frames"]}, made["colour"], truth=truth)


def still(count: int, seed: int) -> Split:
    """The same, each frame the first."""
    moving = sliding(count, seed)
    frames, boxes = moving.parts["frames"][:, :1], moving.truth["frame_boxes"][:, :, :1]
    truth = moving.truth | {"frame_boxes": boxes.expand(-1, -1, 6, -1)}
    return Split({"frames": frames.expand(-1, 6, -1, -1, -1)}, moving.labels, truth=truth)


def sounding(count: int, seed: int, *, told: bool) -> Split:
    """Squares with a tone; `told`: the louder, the more objects."""
    made, objects = clips(count, seed), torch.randint(1, 3, (count,), generator=torch.Generator().manual_seed(seed))
    sound = made["sound"].float() / made["sound"].float().std(1, keepdim=True) * 1000
    loud = objects if told else torch.ones(count)
    truth = {
        "source_box": made["tracks"][:, 0, 0],
        "boxes": torch.cat([torch.arange(count)[:, None], made["tracks"][:, 0, 0].new_zeros(count, 6)], 1),
        "present": torch.nn.functional.one_hot(made["colour"], 4),
    }
    truth["boxes"][:, 2:6] = made["tracks"][:, 0, 0]
    parts = {"frames": made["frames"][:, :1], "sound": (sound * loud[:, None]).to(torch.int16)}
    return Split(parts | {"source": made["source"]}, made["colour"], {"objects": objects.float()}, truth)


def order_right(features: object, make: object, train: int = 200) -> float:
    splits = [make(train, 0), make(60, 1)]  # type: ignore[operator]
    shown = [features(split, order_alone._times(split.parts["frames"], 0)) for split in splits]  # type: ignore[operator]
    return float(order_alone._right(*shown).mean())


def test_the_place_tells_the_order_of_what_slides_and_of_nothing_that_stays() -> None:
    assert order_right(order_alone.places, sliding) > 0.95
    assert order_right(order_alone.places, still) == pytest.approx(0.5)


def test_a_still_background_tells_nothing_and_one_that_changes_does() -> None:
    assert order_right(order_alone.backgrounds, sliding) == 0.5

    def brighter(count: int, seed: int) -> Split:
        split = sliding(count, seed)
        ramp = torch.linspace(0.4, 1, 6)[:, None, None, None]
        return Split({"frames": (split.parts["frames"] * ramp).to(torch.uint8)}, split.labels, truth=split.truth)

    assert order_right(order_alone.backgrounds, brighter) > 0.9


def test_nothing_of_the_object_is_left_in_the_background() -> None:
    split = sliding(20, 0)
    times = torch.tensor(ORDERS).expand(20, -1, -1)
    found = order_alone.backgrounds(split, times)
    assert (found[..., -3:] == 0).all(), "the frames of a clip do not differ"
    painted = split.parts["frames"].clone()
    for row, box in enumerate(split.truth["frame_boxes"][:, 0]):
        for time, (left, top, right, bottom) in enumerate(box.long().tolist()):
            painted[row, time, :, top:bottom, left:right] = 0
    black = Split({"frames": painted}, truth=split.truth)
    assert (order_alone.backgrounds(black, times) == found).all(), "nor tell its colour"


def test_how_three_places_lie_to_each_other_by_hand() -> None:
    shown = torch.tensor([[[[0.0, 0], [3, 4], [6, 8]], [[0, 0], [-3, 4], [6, 8]]]])
    found = order_alone._lying(shown)[0]
    assert found[0].tolist() == [0, 0, 3, 4, 6, 8, 5, 5, 10, 0.5]
    assert found[1, 6:].tolist() == pytest.approx([5, 97**0.5, 10, 0.14])


def test_right_and_wrong_orders_weigh_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_alone, "learnt", lambda *given: numpy.ones(len(given[2]), bool))
    shown = numpy.zeros((5, len(ORDERS), 2))
    assert order_alone._right(shown, shown).tolist() == [0.5] * 5


def test_what_only_both_tell_together_is_learnt() -> None:
    """Each frame and each sound is in a true and in a false pair."""
    draws = numpy.random.default_rng(0)
    one, two = (draws.normal(size=(count, 1)) for count in (600, 200))
    (known, labels), (asked, right) = (
        (
            numpy.vstack([numpy.hstack([own, own]), numpy.hstack([own, own[::-1]])]),
            numpy.arange(2 * len(own)) < len(own),
        )
        for own in (one, two)
    )
    assert (learnt(known, labels, asked) == right).mean() > 0.85
    assert (learnt(known[:, :1], labels, asked[:, :1]) == right).mean() == 0.5


@pytest.mark.parametrize(("told", "least", "most"), [(True, 0.7, 0.8), (False, 0.45, 0.55)])
def test_loudness_that_goes_with_the_number_of_objects_is_found(told: bool, least: float, most: float) -> None:
    """Half of the false pairs are of as many objects, so that the best answer is right in three of four cases."""
    splits = [sounding(count, seed, told=told) for seed, count in enumerate((800, 400))]
    pairs = [derangement(split.parts["source"][:, 0], torch.Generator().manual_seed(0)) for split in splits]
    known, asked = (
        sound_alone.paired(split, pair, sound_alone.objects, sound_alone.loudness)
        for split, pair in zip(splits, pairs, strict=True)
    )
    right = learnt(known, numpy.arange(1600) < 800, asked) == (numpy.arange(800) < 400)
    assert least < right.mean() < most


class Redness:
    """In place of a method: its map shows where a frame is red and not green, in cells of 4 pixels."""

    class encoder:  # noqa: N801
        @staticmethod
        def heat(frames: Tensor, _: Tensor) -> Tensor:
            small = torch.nn.functional.avg_pool2d(frames, 4)
            return small[:, 0] - small[:, 1]


def test_where_it_sounds_is_asked_of_places() -> None:
    """Of three of ten clips elsewhere than in most of the training."""
    train, test = sounding(60, 0, told=False), sounding(30, 1, told=False)
    train.truth["source_box"][:40] = test.truth["source_box"][:21] = torch.tensor([0.0, 0, 6, 6])
    test.truth["source_box"][21:] = torch.tensor([20.0, 0, 26, 6])
    middle, fixed, *_ = sound_alone.located(train, test, Redness())  # type: ignore[arg-type]
    assert (middle.share, fixed.share) == (0, 0.7)
    split = sounding(30, 0, told=False)
    assert holds(split.truth["source_box"].numpy(), sound_alone._any_object(split)).all(), "there is one object"


def test_the_maximum_of_a_map_lies_in_what_is_hottest() -> None:
    split = sounding(32, 0, told=False)
    found = sound_alone.loudest(Redness, split)  # type: ignore[arg-type]
    assert found.shape == (32, 2)
    red = (split.labels == 0).numpy()
    assert holds(split.truth["source_box"].numpy()[red], found[red]).mean() > 0.9


@pytest.mark.parametrize(
    ("kind", "name", "encoder", "make", "batch"),
    [
        ("video", "shuffle_and_learn", "resnet", sliding, 1),
        ("audiovisual", "audio_visual", "two_tower", partial(sounding, told=False), 2),
    ],
)
def test_the_method_itself_is_asked_about_clips_it_has_not_seen(
    kind: str, name: str, encoder: str, make: Callable[[int, int], Split], batch: int
) -> None:
    settings = shortcuts._settings(kind, name, quick=True)
    method = answering.trained(name, encoder, make(64, 0), settings)
    found = answering.accuracies(method, make(6, 1), batch)
    assert not method.training
    assert found.shape == (6 // batch,)
    assert ((found >= 0) & (found <= 1)).all()


# ---- the page


def test_answers_are_shares_with_intervals() -> None:
    right = numpy.array([1.0, 0, 1, 1])
    found = answered("a", right, [numpy.array([True, True, False, False])])
    assert (found.share, found.groups) == (0.75, (0.5,))
    assert 0 <= found.low < 0.75 < found.high <= 1


def test_the_page_has_three_tables() -> None:
    text = shortcuts.markdown(ANSWERS, ("slide", "hop"), [ANSWERS[0]], [ANSWERS[1]])
    assert "| answered from | all | slide | hop |" in text
    assert "| b | 90.0 (88.0–92.5) | 80 | 100 |" in text
    assert text.count("| answered from | all |") == 3
    page = "before\n<!-- shortcuts -->\nold\n<!-- /table -->\nafter\n"
    assert shortcuts.written(page, text) == f"before\n<!-- shortcuts -->\n{text}<!-- /table -->\nafter\n"
    assert shortcuts.written(shortcuts.written(page, text), text) == shortcuts.written(page, text)
    with pytest.raises(ValueError, match=r"docs/video\.md has no line `<!-- shortcuts -->`"):
        shortcuts.written("nothing", text)


def test_a_whole_measurement_writes_the_page_and_a_trial_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcuts, "measure", lambda **_: (ANSWERS, ("slide", "hop"), ANSWERS[:1], ANSWERS[:1]))
    place = tmp_path / shortcuts.PAGE
    place.parent.mkdir()
    place.write_text("<!-- shortcuts -->\n<!-- /table -->\n")
    assert shortcuts.main(["--quick"], tmp_path) == 0
    assert place.read_text() == "<!-- shortcuts -->\n<!-- /table -->\n"
    assert shortcuts.main([], tmp_path) == 0
    assert "| b | 90.0" in place.read_text()
