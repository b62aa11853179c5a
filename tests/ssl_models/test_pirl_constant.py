"""PIRL with one constant Z: the loss by the equations, Z from the first batch, and Z in checkpoints."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.losses.contrastive import pirl_nce_chance
from tests.ssl_models.test_pirl import INDEX, made, method, total

torch.set_num_threads(1)

IMAGES = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8, generator=Generator().manual_seed(1))


def test_nce_with_a_constant_is_equations_6_to_8_of_npid_with_z_from_the_transformed_pictures() -> None:
    pirl = method(objective="nce_constant", weight=0.3, temperature=0.3, centre=False).eval()
    plain, tiles, rows = made(pirl, IMAGES)
    rows = rows.masked_fill(torch.isin(rows, INDEX), 0)  # none of their own, so that nothing is left out
    g = functional.normalize(pirl.transformed_head(pirl.encoder(tiles)), dim=1).detach()
    f = functional.normalize(pirl.image_head(pirl.encoder(plain)), dim=1).detach()

    def e(row: int, vector: Tensor) -> float:
        return math.exp(float(pirl.bank.rows[row] @ vector) / 0.3)

    z = 20 / (4 * 10) * sum(e(row, vector) for vector in g for row in rows.tolist())

    def h(row: int, vector: Tensor) -> float:
        return (e(row, vector) / z) / (e(row, vector) / z + 10 * (1 / 20))

    terms = pirl.loss(plain, tiles, rows, index=INDEX).terms
    for name, vectors, share in (("transformed", g, 0.3), ("image", f, 0.7)):
        expected = 0.0
        for sample, vector in zip(INDEX.tolist(), vectors, strict=True):
            expected -= math.log(h(sample, vector)) + sum(math.log(1 - h(row, vector)) for row in rows.tolist())
        assert float(terms[name].detach()) == pytest.approx(share * expected / 4, rel=1e-4)
    assert float(pirl.log_z) == pytest.approx(math.log(z), rel=1e-4)


def test_of_one_picture_the_first_batch_s_constant_is_its_own_sum() -> None:
    terms = []
    for objective in ("nce", "nce_constant"):
        pirl = method(objective=objective, centre=False, weight=1.0).eval()
        plain, tiles, _ = made(pirl, IMAGES[:1])
        terms.append(pirl.loss(plain, tiles, torch.arange(10), index=INDEX[:1]).terms["transformed"])
    torch.testing.assert_close(*terms)


def test_the_first_batch_fixes_z_and_no_later_one_moves_it() -> None:
    pirl = method(objective="nce_constant")
    assert pirl.log_z.isnan()
    scored = pirl.loss(*made(pirl, IMAGES), index=INDEX)
    total(scored.terms).backward()
    first = pirl.log_z.clone()
    assert first.isfinite()
    assert not pirl.log_z.requires_grad
    pirl.after_step(scored.handed_over, 0.1)
    pirl.loss(*made(pirl, IMAGES, 1), index=INDEX)
    assert torch.equal(pirl.log_z, first)


def test_a_resumed_run_goes_on_with_the_same_z_and_only_a_constant_one_is_saved() -> None:
    first, second = method(objective="nce_constant"), method(objective="nce_constant")
    for seed in range(3):
        first.after_step(first.loss(*made(first, IMAGES, seed), index=INDEX).handed_over, 0.1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(first.log_z, second.log_z)
    losses = [total(pirl.loss(*made(pirl, IMAGES, 9), index=INDEX).terms) for pirl in (first, second)]
    assert torch.equal(*losses)
    fresh = method(objective="nce_constant")  # estimates a Z of its own, by which the loss is another
    fresh.load_state_dict({**first.state_dict(), "log_z": torch.tensor(torch.nan)})
    assert not torch.equal(total(fresh.loss(*made(fresh, IMAGES, 9), index=INDEX).terms), losses[0])
    for objective in ("nce", "softmax"):
        assert "log_z" not in method(objective=objective).state_dict()


@pytest.mark.parametrize(("negatives", "compared"), [(0, 19), (20, 19), (10, 10)])
def test_with_a_constant_logits_that_are_equal_for_all_queries_cost_chance(negatives: int, compared: int) -> None:
    pirl = method(objective="nce_constant", negatives=negatives, weight=0.4)
    for parameter in (*pirl.image_head.parameters(), *pirl.transformed_head.parameters()):
        parameter.data.zero_()  # features of no direction: every logit is 0
    plain, tiles, rows = made(pirl, IMAGES)
    rows = rows.masked_fill(torch.isin(rows, INDEX), 0) if negatives == 10 else rows
    assert pirl.chance == pytest.approx(pirl_nce_chance(compared))
    loss = total(pirl.loss(plain, tiles, rows, index=INDEX).terms)
    assert float(loss.detach()) == pytest.approx(pirl.chance, rel=1e-4)
