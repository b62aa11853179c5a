"""The encoder `bag`: the mean of a text's word vectors."""

from __future__ import annotations

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.bag import Bag
from ssl_models.errors import NeedsParts

WORDS = {"counts": [0, 3, 2, 1]}


def bag(vectors: torch.Tensor) -> Bag:
    encoder = Bag(vocabulary=len(vectors), width=vectors.shape[1])
    with torch.no_grad():
        encoder.table.weight.copy_(vectors)
    return encoder


def test_a_text_is_the_mean_of_its_words() -> None:
    encoder = bag(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]]))
    found = encoder(torch.tensor([[1, 2, 0, 0], [2, 2, 1, 2]]))
    assert found.tolist() == [[0.5, 2.0], [0.25, 3.0]]


def test_padding_changes_nothing_and_no_word_is_zeros() -> None:
    encoder = Bag(vocabulary=9, width=5)
    ids = torch.randint(1, 9, (6, 7))
    padded = torch.cat([ids, torch.zeros(6, 4, dtype=torch.int64)], 1)
    assert torch.allclose(encoder(ids), encoder(padded))
    assert not encoder(torch.zeros(2, 3, dtype=torch.int64)).any()


def test_the_order_of_words_does_not_matter() -> None:
    encoder, ids = Bag(vocabulary=9, width=5), torch.randint(1, 9, (6, 7))
    assert torch.allclose(encoder(ids), encoder(ids.flip(1)))


def test_the_vector_of_no_word_is_zero_and_stays_so() -> None:
    encoder = Bag.from_data(DataSpec(10, {"tokens": (4,)}, known=WORDS), width=3)
    assert encoder.vectors.shape == (4, 3)
    assert not encoder.vectors[0].any()
    assert 0 < encoder.vectors[1:].abs().max() <= 0.5 / 3
    encoder(torch.tensor([[0, 1]])).sum().backward()
    assert encoder.table.weight.grad is not None
    assert not encoder.table.weight.grad[0].any()


def test_it_is_built_again_from_its_settings() -> None:
    encoder = Bag(vocabulary=7, width=6)
    other = build_encoder(encoder.name, **encoder.settings)
    other.load_state_dict(encoder.state_dict())
    ids = torch.randint(0, 7, (3, 5))
    assert torch.equal(other(ids), encoder(ids))
    assert list(encoder.layers(ids)) == ["words"]


def test_what_it_cannot_read_is_refused() -> None:
    with pytest.raises(NeedsParts, match="the encoder 'bag' reads tokens, and these samples have images"):
        Bag.from_data(DataSpec(10, {"images": (3, 8, 8)}))
    with pytest.raises(ValueError, match="the id 4, and the encoder has 4 vectors"):
        Bag(vocabulary=4)(torch.tensor([[4]]))
    for settings in ({"vocabulary": 1}, {"vocabulary": 5, "width": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Bag(**settings)
