"""Phones of frames: alignment, intervals over recordings, and the rows that need no encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_models.errors import DoesNotApply, NeedsParts, NeedsSamples, NeedsTruth
from ssl_models.protocols import phones
from ssl_models.protocols._common.score import Findings, Representation
from tests.ssl_models import kinds

FAST = {"weight_decays": [0.01]}


class Told(nn.Module):
    """What `frames` is to give, whatever is heard: a stand-in of an encoder that knows the phones of each recording.

    several: frames of the first layer in 10 ms, of which the last tells. The second layer tells nothing.
    """

    name, convolutional = "told", False

    def __init__(self, several: int = 1) -> None:
        super().__init__()
        self.several = several

    def frames(self, sound: Tensor) -> dict[str, Tensor]:
        told = torch.round(sound[:, ::80] * 32768 / 1000).long()  # see `spoken`
        codes = nn.functional.one_hot(told + 1, len(kinds.PHONES) + 1).float().transpose(1, 2)
        first = codes.repeat_interleave(self.several, 2)
        first[:, :, torch.arange(first.shape[2]) % self.several < self.several - 1] = 0
        return {"first": first, "last": torch.full_like(codes[:, :2], 0.3)}


def spoken(table: np.ndarray) -> np.ndarray:
    """Sound of which each 10 ms are 1000 times the number of the phone."""
    return np.repeat(table.astype(np.int16) * 1000, 80, axis=1)


def uneven(count: int, seed: int) -> np.ndarray:
    """(N, 12) phones: in half of them the first; a fifth are silent."""
    draws = np.random.default_rng(seed)
    table = np.where(draws.random((count, 12)) < 0.5, 0, draws.integers(0, 4, (count, 12)))
    return np.where(draws.random(table.shape) < 0.2, -1, table).astype(np.int8)


def told(
    tables: dict[str, np.ndarray] | None = None, heard: dict[str, np.ndarray] | None = None, **more
) -> Representation:
    tables = tables or {"train": uneven(40, 0), "test": uneven(30, 1)}
    sound = heard or {split: spoken(table) for split, table in tables.items()}
    settings = {
        "encoder": Told,
        "samples": lambda split: {"sound": sound[split]},
        "truth": lambda split, _kind: tables[split],
        "known": {"rate": kinds.RATE, "phones": list(kinds.PHONES)},
        "precision": "float32",
    }
    return Representation(("pooled",), lambda *_: None, lambda _: None, 0, **(settings | more))


def values(findings: Findings) -> dict[str, float]:
    return {score.layer: score.value for score in findings.scores}


def test_rows_come_in_order_and_beat_the_majority_where_they_should() -> None:
    found = phones.evaluate(kinds.representation("sound"), seed=0, **FAST)
    assert list(values(found)) == ["mfcc", "majority", "conv1", "conv2"]
    assert {score.metric for score in found.scores} == {"frame_accuracy"}
    assert values(found)["mfcc"] > 0.97
    assert values(found)["conv1"] > values(found)["conv2"] > values(found)["majority"] == 0.25


def test_the_majority_is_that_of_the_training_frames_and_silence_does_not_count() -> None:
    tables = {"train": np.array([[2, 2, -1, 0], [1, 2, -1, -1]]), "test": np.array([[2, 1, -1, -1], [-1, -1, 2, 0]])}
    found = values(phones.evaluate(told(tables), seed=0, **FAST))
    assert found["majority"] == 0.5
    assert found["first"] == 1


@pytest.mark.parametrize("several", [1, 8])
def test_frames_that_are_finer_than_the_phones_are_averaged_to_them(several: int) -> None:
    found = values(phones.evaluate(told(encoder=lambda: Told(several)), seed=0, **FAST))
    assert found["first"] == 1


def test_frames_that_are_coarser_are_repeated() -> None:
    class Coarse(Told):
        def frames(self, sound: Tensor) -> dict[str, Tensor]:
            return {"half": super().frames(sound)["first"][:, :, ::2]}

    twice = {split: np.repeat(uneven(30, seed), 2, axis=1) for seed, split in enumerate(("train", "test"))}
    assert values(phones.evaluate(told(twice, encoder=Coarse), seed=0, **FAST))["half"] == 1


def test_the_interval_is_that_of_recordings_not_of_frames() -> None:
    """Within a recording all frames are right or all are wrong: 30 trials, however many frames they have."""
    tables = {"train": uneven(40, 0), "test": np.repeat(np.arange(30)[:, None] % 2, 40, axis=1)}
    tables["train"][:, 0] = 0
    scores = {score.layer: score for score in phones.evaluate(told(tables), seed=0, **FAST).scores}
    half = (scores["majority"].high - scores["majority"].low) / 2
    assert scores["majority"].value == 0.5
    assert half == pytest.approx(1.96 * np.sqrt(0.25 / 30), rel=0.1)
    assert half > 5 * 1.96 * np.sqrt(0.25 / 1200)


def test_recordings_of_many_frames_count_more() -> None:
    tables = {"train": uneven(40, 0), "test": np.full((2, 10), -1)}
    tables["test"][0, :9], tables["test"][1, 0] = 0, 1
    assert values(phones.evaluate(told(tables), seed=0, **FAST))["majority"] == 0.9


def test_a_draw_of_frames_is_as_large_as_asked_and_only_of_truthones() -> None:
    table = uneven(50, 0)
    chosen = phones._drawn(table, 100, 3)
    assert chosen.sum() == 100
    assert (table[chosen] >= 0).all()
    assert (phones._drawn(table, 10**6, 3) == (table >= 0)).all()
    assert (phones._drawn(table, 100, 3) == chosen).all()
    assert (phones._drawn(table, 100, 4) != chosen).any()


def test_what_ranks_the_weight_decays_is_held_out_by_recording(monkeypatch) -> None:
    seen = []
    fitted = phones.Fitting.solutions

    def watched(self, train, sets, held_out):
        seen.append(held_out)
        return fitted(self, train, sets, held_out)

    monkeypatch.setattr(phones.Fitting, "solutions", watched)
    tables = {"train": np.zeros((20, 12), np.int8) + np.arange(12) % 4, "test": uneven(30, 1)}
    phones.evaluate(told(tables), seed=0)
    by_recording = seen[0].reshape(20, 12)
    assert (by_recording.all(1) | ~by_recording.any(1)).all()
    assert by_recording.any(1).sum() == 2


def test_answers_are_counted_by_recording_and_by_what_is_spoken() -> None:
    truth, answers = np.array([[0, -1, 1, 0], [2, 2, -1, -1]]), np.array([[2, 0, 1, 2], [2, 0, 1, 1]])
    found = phones._counts(truth, answers, 3)
    assert found[0].tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]
    assert found[1].tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 1]]


def test_the_picture_has_a_row_for_what_is_truthand_a_column_for_what_is_answered() -> None:
    counts = np.zeros((3, 3), int)
    counts[0, 2] = 7  # the first phone is always taken for the last
    picture = phones.draw_confusion(counts, ("aa", "b", "ch"), "a title")
    rows, columns = np.nonzero((picture == (8, 48, 107)).all(2))  # the darkest of the colours
    height, width = picture.shape[:2]
    assert len(rows) > 5000
    assert rows.max() < height / 2
    assert columns.min() > width / 2


def test_the_picture_of_many_phones_is_no_larger_than_a_page_shows_and_that_of_few_is_given() -> None:
    many = phones.draw_confusion(np.eye(41, dtype=int), tuple(f"p{k}" for k in range(41)), "x")
    assert max(many.shape) < 2200
    assert set(phones.evaluate(told(), seed=0, **FAST).pictures) == {"confusion"}


# ---- what every protocol shows


def test_an_oracle_scores_one() -> None:
    scores = {s.layer: s for s in phones.evaluate(told(), seed=0).scores}
    assert (scores["first"].value, scores["first"].low, scores["first"].high) == (1, 1, 1)


def test_a_constant_scores_chance() -> None:
    found = values(phones.evaluate(told(), seed=0, **FAST))
    assert found["last"] == found["majority"]


def test_shuffled_truth_scores_chance() -> None:
    tables = {"train": uneven(40, 0), "test": uneven(30, 1)}
    heard = {split: spoken(table) for split, table in tables.items()}
    shuffled = np.random.default_rng(0).permutation(tables["train"].ravel()).reshape(40, 12)
    found = values(phones.evaluate(told(tables | {"train": shuffled}, heard), seed=0, **FAST))
    assert found["first"] == pytest.approx(found["majority"], abs=0.1)


def test_same_seed_same_numbers() -> None:
    first, again, other = (
        phones.evaluate(kinds.representation("sound"), seed=s, frames=200, **FAST) for s in (3, 3, 4)
    )
    assert first.scores == again.scores
    assert first.scores != other.scores


def test_the_order_of_samples_does_not_matter() -> None:
    tables = {"train": uneven(40, 0), "test": uneven(30, 1)}
    moved = {split: np.random.default_rng(2).permutation(table) for split, table in tables.items()}
    expected, found = (values(phones.evaluate(told(each), seed=0, **FAST)) for each in (tables, moved))
    for layer, value in expected.items():
        assert found[layer] == pytest.approx(value, abs=0.01)


def test_missing_truth_is_told() -> None:
    def none(_split: str, kind: str) -> np.ndarray:
        raise NeedsTruth(f"these data have no {kind}")

    with pytest.raises(NeedsTruth, match="have no phones"):
        phones.evaluate(told(truth=none), seed=0)
    with pytest.raises(NeedsSamples, match="no phone is spoken in the train recordings"):
        phones.evaluate(told({split: np.full((4, 12), -1) for split in ("train", "test")}), seed=0)


def test_what_does_not_apply_is_told() -> None:
    with pytest.raises(DoesNotApply, match="the encoder 'reader_of_bags' gives no features of frames"):
        phones.evaluate(told(encoder=kinds.Bag), seed=0)
    with pytest.raises(NeedsParts, match="reads sound, and these samples have tokens"):
        phones.evaluate(told(samples=lambda _: {"tokens": np.zeros((40, 3), np.int32)}), seed=0)
    with pytest.raises(NeedsSamples, match="at least 2 are needed"):
        phones.evaluate(told({"train": uneven(1, 0), "test": uneven(3, 1)}), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"frames": 0}, "frames = 0"), ({"weight_decays": [-1]}, "weight_decays"), ({"iterations": 0}, "iterations = 0")],
)
def test_bad_settings_are_refused(settings, message) -> None:
    for function in (lambda: phones.evaluate(told(), seed=0, **settings), lambda: phones.refuse(**settings)):
        with pytest.raises(ValueError, match=message):
            function()


def test_phones_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the train phones of shape \(40, 12\) .* numbers from -1 to 2"):
        phones.evaluate(replace(told(), known={"rate": 8000, "phones": ["a", "e", "o"]}), seed=0)
    tables = {"train": uneven(40, 0), "test": uneven(30, 1)}
    heard = {"train": spoken(tables["train"][1:]), "test": spoken(tables["test"])}
    with pytest.raises(ValueError, match="phones of 40 train recordings, and 39 recordings"):
        phones.evaluate(told(tables, heard), seed=0)
