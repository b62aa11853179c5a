"""The protocols on sound and on text: those that read features or fine-tune are right, those of pictures say no."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import DoesNotApply, NeedsLabels, NeedsParts
from ssl_models.modalities import sound, words
from ssl_models.previews import preview
from ssl_models.protocols import embedding, finetune, retrieval
from ssl_models.protocols._common import neighbour_rows, statement
from ssl_models.protocols._common.score import Findings, Representation
from tests.ssl_models import kinds

KINDS = ("sound", "text")
QUICK = {
    "linear": {},
    "knn": {"neighbours": 20},
    "retrieval": {"layers": ""},
    "embedding": {"perplexity": 10.0, "layer": ""},
    "semi_supervised": {"fractions": [0.5], "draws": 2, "steps": 60, "learning_rate": 0.1},
    "finetune": {"epochs": 20, "learning_rate": 0.1},
}
"""Settings of each protocol; "" stands for the first layer."""
NUMBER = {"embedding": "neighbour_agreement"}
"""The metric that is compared where a protocol ranks nothing."""


def measured(name: str, given: Representation) -> Findings:
    settings = {key: given.layers[0] if value == "" else value for key, value in QUICK[name].items()}
    found: Findings = import_module(f"ssl_models.protocols.{name}").evaluate(given, seed=0, **settings)
    return found


def headline(name: str, findings: Findings) -> float:
    stated = statement.statement(name)
    metric = NUMBER.get(name) or stated.headline_among(score.metric for score in findings.scores)
    return max(score.value for score in findings.scores if score.metric == metric)


class Told(Encoder):
    """The class itself: what the first number of a sample says, and a bias that can be trained."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.settings = dim, {}
        self.bias = nn.Parameter(torch.zeros(dim))

    def standardise(self, given: Tensor) -> Tensor:
        return given

    def blocks(self):
        return {"told": lambda given: 5 * nn.functional.one_hot(self.number(given), self.dim) + self.bias}

    def pool(self, last: Tensor) -> Tensor:
        return last


class ToldBySound(Told):
    """The recordings are of one level throughout, so that no shift changes it; louder or softer does by less than 2."""

    name, modalities = "told_by_sound", (sound,)

    def number(self, given: Tensor) -> Tensor:
        return torch.log2(given.amax(1) * 64).div(2).round().long().clamp(0, self.dim - 1)


class ToldByWords(Told):
    """The texts are of one word throughout: what is left out does not matter."""

    name, modalities = "told_by_words", (words,)

    def number(self, given: Tensor) -> Tensor:
        return given.amax(1)


def oracle(kind: str) -> Representation:
    """Samples that are their class, read by an encoder that tells it."""
    numbers = {split: np.arange(count) % 3 for split, count in (("train", 96), ("test", 48))}
    if kind == "sound":
        stored = {split: np.repeat((512 * 4**ids)[:, None], 100, 1).astype(np.int16) for split, ids in numbers.items()}
    else:
        stored = {split: np.repeat(ids[:, None], 9, 1).astype(np.int32) for split, ids in numbers.items()}
    part, encoder = ("sound", ToldBySound) if kind == "sound" else ("tokens", ToldByWords)
    return Representation(
        ("told", "pooled"),
        lambda split, _layer: np.eye(3, dtype=np.float16)[numbers[split]],
        numbers.__getitem__,
        3,
        encoder=lambda: encoder(3),
        samples=lambda split: {part: stored[split]},
        precision="float32",
        known={"rate": 8000, "words": ["", "one", "two"]},
    )


@pytest.mark.parametrize("name", ["linear", "knn", "retrieval", "semi_supervised", "finetune"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_oracle_scores_one_on_any_kind(name: str, kind: str) -> None:
    assert headline(name, measured(name, oracle(kind))) == 1


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_tell_more_than_chance_and_nothing_of_shuffled_labels(name: str, kind: str) -> None:
    """Chance is a quarter for sound and a third for text."""
    given = kinds.representation(kind)
    found = measured(name, given)
    assert headline(name, found) > 0.5
    assert statement.statement(name).knows(score.metric for score in found.scores)
    draws = np.random.default_rng(0)
    shuffled = {split: draws.permutation(given.labels(split)) for split in ("train", "test")}
    lost = kinds.representation(kind, labels=shuffled.__getitem__)
    assert headline(name, measured(name, lost)) < 0.42


@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_reads_samples_as_they_are_stored_and_is_repeatable(kind: str) -> None:
    first, again = (
        finetune.evaluate(kinds.representation(kind), seed=1, epochs=2, learning_rate=0.1).scores for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["voc_map", "detection", "keypoints", "surface_normals", "invariance"])
def test_protocols_of_pictures_do_not_apply(name: str, kind: str) -> None:
    with pytest.raises(DoesNotApply, match=r"reads images|there are no (normals|points)"):
        import_module(f"ssl_models.protocols.{name}").evaluate(kinds.representation(kind), seed=0)


def test_samples_without_what_the_encoder_reads_do_not_apply() -> None:
    deaf = replace(kinds.representation("text"), encoder=kinds.Ear)
    with pytest.raises(NeedsParts, match="the encoder 'ear' reads sound, and these samples have tokens"):
        finetune.evaluate(deaf, seed=0)


# ---- pictures


@pytest.mark.parametrize(("kind", "shown"), [("sound", 10), ("text", 4)])
def test_neighbours_are_drawn_as_they_are_previewed_and_as_many_as_a_page_is_wide(kind: str, shown: int) -> None:
    given = kinds.representation(kind)
    picture = retrieval.evaluate(given, seed=0).pictures["neighbours"]
    height, width, _ = preview(given.samples("test"), 0, given.known).shape
    frame, gap = neighbour_rows.FRAME, neighbour_rows.GAP
    cell_height, cell_width = height + 2 * frame + gap, width + 2 * frame + gap
    assert picture.shape == (8 * cell_height, (1 + shown) * cell_width + 2 * frame, 3)
    assert picture.shape[1] < 1300
    row = neighbour_rows.drawn(given.labels("test"), 0)[0]
    inner = picture[gap // 2 + frame :, gap // 2 + frame :][:height, :width]
    assert (inner == preview(given.samples("test"), row, given.known)).all()


def test_a_map_has_a_picture_for_each_further_set_of_labels_and_none_twice() -> None:
    settings = {"seed": 0, "perplexity": 10.0}
    pictures = embedding.evaluate(kinds.representation("sound"), **settings).pictures
    assert set(pictures) == {"class", "speaker"}  # "word" is the class
    without = embedding.evaluate(kinds.representation("sound", labels=no_labels), **settings).pictures
    assert set(without) == {"word", "speaker"}
    assert (without["word"] == pictures["class"]).all()
    assert (pictures["speaker"] != pictures["class"]).any()


def no_labels(_split: str) -> np.ndarray:
    raise NeedsLabels("there are none")


def test_default_factors_are_drawn_where_the_data_know_them_and_others_must_be_known() -> None:
    plain = kinds.representation("sound")

    def with_factors(**factors: np.ndarray) -> Representation:
        return kinds.representation(
            "sound", truth=lambda split, kind: factors if kind == "factors" else plain.truth(split, kind)
        )

    ramp = np.linspace(0, 1, 48)
    settings = {"seed": 0, "perplexity": 10.0}
    assert "factors" not in embedding.evaluate(with_factors(pitch=ramp), **settings).pictures
    drawn = embedding.evaluate(with_factors(pitch=ramp), factors=["pitch"], **settings).pictures
    partly = embedding.evaluate(with_factors(light=ramp, pitch=ramp), **settings).pictures
    assert drawn["factors"].shape == partly["factors"].shape
    with pytest.raises(ValueError, match=r"do not know \['hue'\]; they know \['pitch'\]"):
        embedding.evaluate(with_factors(pitch=ramp), factors=["hue"], **settings)
