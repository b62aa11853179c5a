"""A collapse is called one, and what only looks like one is not."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ssl_models.collapse import close, collapsed, collapses, described
from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder, encoder_class
from ssl_models.method import Method, method_class
from ssl_models.modalities.inputs import inputs
from ssl_models.monitor import Monitor
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_trainer import Keeper, images


def row(deviation, rankme):
    return {"loss": 1.0, "deviation": deviation, "rankme": rankme}


FAR, NEAR, NEARER = row(0.4, 30), row(0.04, 4), row(0.03, 3)


@pytest.mark.parametrize(
    ("values", "rank", "found"),
    [
        (row(0.049, 6.3), 128, True),
        (row(0.05, 6.3), 128, False),
        (row(0.049, 6.4), 128, False),  # 5 % of 128
        (row(0.001, 2.9), 16, True),  # 3, as 5 % of 16 is below the least that there is
        (row(0.001, 3.0), 16, False),
        (row(0.3, 4.0), 128, False),  # few dimensions, far apart: a reconstruction's
        (row(0.04, 40), 512, False),  # close together in many dimensions: deep networks, untrained
    ],
)
def test_vectors_are_as_good_as_equal_where_both_measures_say_so(values, rank, found):
    assert close(values, rank) is found


def test_two_measurements_in_a_row_must_find_it_and_the_second_no_wider():
    assert collapses([FAR, NEAR, NEARER, NEARER], 128) == [3, 4]
    assert collapses([FAR, NEAR, FAR, NEAR], 128) == []
    assert collapses([NEARER, NEAR, FAR], 128) == []  # they move apart: word vectors in their first epochs
    assert collapses([NEAR, {"loss": 1.0}, NEARER], 128) == [3]  # epochs between are not measured
    assert collapses([], 128) == collapses([NEAR], 128) == []


def test_it_is_recorded_if_it_lasts():
    assert collapsed([FAR, NEAR, NEARER, {"loss": 1.0}], 128) == 3
    assert collapsed([FAR, NEAR, NEARER, FAR], 128) is None
    assert collapsed([FAR, FAR], 128) is None
    assert collapsed([{"loss": 1.0}], 128) is None


def test_it_is_said_in_a_sentence():
    said = described(row(0.0123, 1.23), 128)
    assert said.startswith("the representation has collapsed, all samples have nearly the same vector: ")
    assert said.endswith("deviation 0.012, RankMe 1.2 of 128")


class Attracting(Method):
    """All samples shall have the same vector, and nothing keeps them apart."""

    family, reference = "control", ""

    def views(self, pictures, generator):
        first = inputs(pictures)
        return first, first + 0.1 * torch.rand(first.shape, generator=generator)

    def loss(self, *views, index):  # noqa: ARG002
        first, second = (functional.normalize(self.encoder(view), dim=1) for view in views)
        spread = (first - first.mean(0)).square().sum(1).mean()  # attraction alone takes longer
        return {"loss": (first - second).square().sum(1).mean() + spread}


def course(method, parts, labels=None, **settings):
    """What was measured after each epoch, and the largest rank."""
    named = dict(zip(method.parts, parts, strict=True))
    watched = Monitor({name: part.numpy() for name, part in named.items()}, labels, seed=0)
    watched.due, keeper = lambda *_: True, Keeper()
    how = {"epochs": 6, "batch_size": 16, "optimizer": "adamw", "warmup_epochs": 0} | settings
    Training(method, parts, Settings(**how), seed=0, observer=keeper, monitor=watched).run()
    return [values for _, values in keeper.epochs], watched.rank(method.encoder)


def pictures_by(kind, **settings):
    torch.manual_seed(3)
    data = DataSpec(96, {"images": (3, 32, 32)}, torch.arange(96) % 4, 4)
    encoder = build_encoder("resnet", depth=10, width=4)
    method = kind(encoder) if kind is Attracting else kind(encoder, data)
    return course(method, [images(96)], np.arange(96) % 4, **settings)


def test_a_method_without_anything_that_keeps_samples_apart_is_found_to_collapse():
    rows, rank = pictures_by(Attracting, learning_rate=0.2, epochs=10)
    assert rows[-1]["deviation"] < rows[0]["deviation"] / 3
    assert collapsed(rows, rank) == collapses(rows, rank)[0]


@pytest.mark.parametrize("name", ["rotation", "jigsaw", "simclr"])
def test_sound_methods_are_not(name):
    rows, rank = pictures_by(method_class(name), learning_rate=0.05, epochs=3)
    assert len(rows) == 3
    assert collapses(rows, rank) == []


def test_nor_is_speech_nor_are_words():
    draws = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    tokens = (torch.rand(96, 16, generator=draws) ** 2 * 39 + 1).to(torch.int32)
    counts = torch.bincount(tokens.flatten().long(), minlength=40).tolist()
    data = DataSpec(96, {"tokens": (16,)}, known={"counts": counts, "words": [*map(str, range(40))]})
    words = method_class("word2vec")(encoder_class("bag").from_data(data, width=16), data)
    rows, rank = course(words, [tokens], learning_rate=0.08, weight_decay=0.0, batch_size=32)
    assert collapses(rows, rank) == []
    sound = torch.randint(-9000, 9000, (48, 1600), generator=draws).to(torch.int16)
    length = torch.full((48, 1), 1600, dtype=torch.int32)
    data = DataSpec(48, {"sound": (1600,), "length": (1,)})
    speech = method_class("cpc_speech")(build_encoder("speech", width=8, hidden=8), data, steps=3, candidates=16)
    rows, rank = course(speech, [sound, length], learning_rate=0.016, epochs=3)
    assert collapses(rows, rank) == []
