"""A batch in chunks gives the gradients of the whole, for every loss, where no statistics go across the batch."""

import copy

import pytest
import torch
from torch import nn

from ssl_models.chunks import chunked, divisible, inexact, refuse
from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.method import method_class, scored_by, views_by
from ssl_models.trainer import Settings, Training
from tests.ssl_models.built_methods import OWN_ENCODERS
from tests.ssl_models.test_trainer import METHODS, images

OF_DECODERS = {"denoising_autoencoder", "inpainting"}
"""Their decoders have batch normalisation."""

IN_FLOAT32 = {"relative_position", "split_brain", "mae"}
"""They compute in it whatever their weights are."""


def made(name, norm="group"):
    torch.manual_seed(3)
    shape, settings = OWN_ENCODERS.get(name, ("resnet", {"depth": 10, "width": 8, "norm": norm}))
    encoder = build_encoder(shape, **settings)
    data = DataSpec(48, {"images": (3, 32, 32)}, torch.arange(48) % 4, 4, torch.randn(48, 4))
    return method_class(name)(encoder, data, **({"negatives": 8} if name == "pirl" else {})).double()


def gradients(method, views, rows):
    """Of each parameter, and the buffers afterwards."""
    method = copy.deepcopy(method)
    with chunked(method, rows):
        scored = scored_by(method, *views, index=torch.arange(16))
        sum(term for term in scored.terms.values() if term.requires_grad).backward()
    found = {name: value.grad for name, value in method.named_parameters() if value.grad is not None}
    return found, dict(method.named_buffers())


@pytest.mark.parametrize("name", sorted({*METHODS} - OF_DECODERS))
def test_chunks_give_the_gradient_of_the_whole_batch(name):
    method, tolerance = made(name), 1e-6
    assert inexact(method) == ""
    if name in IN_FLOAT32:
        method, tolerance = method.float(), 1e-4
    given = views_by(method, [images()[:16]], torch.Generator().manual_seed(1))
    views = [view.to(next(method.parameters()).dtype) if view.is_floating_point() else view for view in given]
    whole, _ = gradients(method, views, 0)
    parts, _ = gradients(method, views, 5)  # 16 rows do not divide by 5: chunks of 4
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=tolerance, atol=tolerance * float(value.abs().max()))


class Counting(nn.Module):
    """Notes the rows that it is given."""

    def __init__(self):
        super().__init__()
        self.rows, self.norm = [], nn.BatchNorm2d(3)

    def forward(self, given):
        self.rows.append(len(given))
        return self.norm(given)


def test_no_more_rows_than_a_chunk_at_once_and_statistics_are_counted_once():
    method = made("supervised", "batch")
    counting = Counting().double()
    method.encoder.stem_probe, usual = counting, method.encoder.standardise
    method.encoder.standardise = lambda pictures: counting(usual(pictures))
    views = [torch.rand(16, 3, 32, 32, dtype=torch.float64)]
    with chunked(method, 6):
        method.encoder(views[0]).sum().backward()
        assert counting.rows == [6, 5, 5, 5, 5, 6]  # each again in the backward pass, the last first
    assert int(counting.norm.num_batches_tracked) == 3
    of_a_chunk = usual(views[0][:6]).mean((0, 2, 3))
    expected = torch.zeros(3, dtype=torch.float64)
    for chunk in views[0].tensor_split(3):
        expected = 0.9 * expected + 0.1 * usual(chunk).mean((0, 2, 3))
    torch.testing.assert_close(counting.norm.running_mean, expected)
    assert not torch.allclose(of_a_chunk, usual(views[0]).mean((0, 2, 3)))
    with chunked(method, 6), torch.no_grad():
        counting.rows.clear()
        method.encoder(views[0])
        assert counting.rows == [6, 5, 5]


def test_batch_normalisation_is_told_of_and_what_is_left_is_as_before():
    method = made("simclr", "batch")
    assert inexact(method) == "batch normalisation"
    with chunked(method, 4):
        assert "forward" in vars(method.encoder)
    assert not any(name in vars(module) for module, name in divisible(method))
    assert all(inexact(made(name)) for name in OF_DECODERS)


@pytest.mark.parametrize(
    ("rows", "norm", "words"),
    [
        (-1, "group", r"machine.chunk is -1; it must be at least 0"),
        (1, "batch", r"machine.chunk is 1; it must be at least 2 where there is batch normalisation"),
    ],
)
def test_chunks_that_cannot_be_are_refused(rows, norm, words):
    with pytest.raises(ValueError, match=words):
        refuse(made("simclr", norm), rows)
    refuse(made("simclr"), 1)


def test_a_training_in_chunks_ends_as_one_without():
    def trained(chunk):
        method = made("simclr").float()
        Training(method, images(), Settings(epochs=1, batch_size=16), seed=5, chunk=chunk).run()
        return method.state_dict()

    whole, parts = trained(0), trained(8)
    assert any(not torch.equal(value, whole[key]) for key, value in made("simclr").float().state_dict().items())
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-3, atol=1e-4)
