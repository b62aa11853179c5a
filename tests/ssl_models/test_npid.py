"""NPID: a view against the bank of all pictures' features, by NCE with a constant Z or by a softmax."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.contrastive import info_nce_chance, pirl_nce_chance
from ssl_models.methods.npid import NPID

torch.set_num_threads(1)

INDEX = torch.tensor([11, 2, 7, 5])


def method(side: int = 16, samples: int = 20, channels: int = 3, **settings: Any) -> NPID:
    torch.manual_seed(0)
    settings = {"negatives": 10, "projection": 16} | settings
    return NPID(
        ResNet(depth=10, width=4, channels=channels), DataSpec(samples, {"images": (channels, side, side)}), **settings
    )


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=Generator().manual_seed(1))


def made(npid: NPID, images: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    return npid.views(images, Generator().manual_seed(seed))


def features_of(npid: NPID, pictures: Tensor) -> Tensor:
    return functional.normalize(npid.head(npid.encoder(pictures)), dim=1).detach()


def test_views_are_one_picture_each_and_the_rows_to_compare_with(images: Tensor) -> None:
    view, rows = made(method(), images)
    assert view.shape == (4, 3, 16, 16)
    assert rows.shape == (10,)
    assert 0 <= rows.min() <= rows.max() < 20
    assert made(method(negatives=0), images)[1].tolist() == list(range(20))


def test_nce_is_equations_4_to_8_of_the_paper(images: Tensor) -> None:
    npid = method(temperature=0.3, centre=False).eval()
    view, rows = made(npid, images)
    rows = rows.masked_fill(torch.isin(rows, INDEX), 0)  # none of their own, so that nothing is left out
    v, bank = features_of(npid, view), npid.bank.rows

    def e(row: int, vector: Tensor) -> float:
        return math.exp(float(bank[row] @ vector) / 0.3)

    z = 20 / (4 * 10) * sum(e(row, vector) for vector in v for row in rows.tolist())

    def h(row: int, vector: Tensor) -> float:
        return (e(row, vector) / z) / (e(row, vector) / z + 10 * (1 / 20))

    expected = 0.0
    for sample, vector in zip(INDEX.tolist(), v, strict=True):
        expected -= math.log(h(sample, vector)) + sum(math.log(1 - h(row, vector)) for row in rows.tolist())
    loss = npid.loss(view, rows, index=INDEX).terms["contrast"]
    assert float(loss.detach()) == pytest.approx(expected / 4, rel=1e-4)
    assert float(npid.log_z) == pytest.approx(math.log(z), rel=1e-4)


def test_the_softmax_over_all_rows_is_equation_2_of_the_paper(images: Tensor) -> None:
    npid = method(objective="softmax", negatives=0, temperature=0.3, centre=False).eval()
    view, rows = made(npid, images)
    logits = features_of(npid, view) @ npid.bank.rows.T / 0.3
    expected = functional.cross_entropy(logits, INDEX)
    torch.testing.assert_close(npid.loss(view, rows, index=INDEX).terms["contrast"], expected, rtol=1e-4, atol=1e-5)


def test_several_crops_look_for_one_row_which_moves_towards_their_mean(images: Tensor) -> None:
    settings = {"objective": "softmax", "proximal": 0.5, "bank_momentum": 0.25}
    one, two = method(**settings).eval(), method(crops=2, **settings).eval()
    views, rows = made(two, images)
    assert views.shape == (8, 3, 16, 16)
    assert not torch.equal(views[0], views[1])
    halves = [one.loss(views[crop::2], rows, index=INDEX) for crop in range(2)]
    scored = two.loss(views, rows, index=INDEX)
    for term, value in scored.terms.items():
        torch.testing.assert_close(value, sum(half.terms[term] for half in halves) / 2, rtol=1e-5, atol=1e-6)
    before = two.bank.rows[INDEX]
    two.after_step(scored.handed_over, 0.1)
    mean = (features_of(two, views[::2]) + features_of(two, views[1::2])) / 2
    torch.testing.assert_close(two.bank.rows[INDEX], functional.normalize(0.25 * before + 0.75 * mean, dim=1))


def test_the_first_pass_fills_a_row_with_the_mean_of_the_crops(images: Tensor) -> None:
    npid = method(crops=2, fill=True).eval()
    views = made(npid, images)
    with torch.no_grad():
        npid.meet(*views, index=INDEX)
        mean = npid.head(npid.encoder(views[0])).view(4, 2, -1).mean(1)
    torch.testing.assert_close(npid.bank.rows[INDEX], functional.normalize(mean, dim=1))


def test_the_first_batch_fixes_z_and_no_later_one_moves_it(images: Tensor) -> None:
    npid = method()
    assert npid.log_z.isnan()
    scored = npid.loss(*made(npid, images), index=INDEX)
    first = npid.log_z.clone()
    assert first.isfinite()
    npid.after_step(scored.handed_over, 0.1)
    npid.loss(*made(npid, images, 1), index=INDEX)
    assert torch.equal(npid.log_z, first)
    assert not npid.log_z.requires_grad


def test_the_softmax_needs_no_z(images: Tensor) -> None:
    npid = method(objective="softmax")
    npid.loss(*made(npid, images), index=INDEX)
    assert npid.log_z.isnan()


def test_proximal_is_the_squared_distance_to_the_own_row(images: Tensor) -> None:
    npid = method(proximal=3.0).eval()
    view, rows = made(npid, images)
    distances = [
        float((vector - npid.bank.rows[sample]).square().sum())
        for sample, vector in zip(INDEX.tolist(), features_of(npid, view), strict=True)
    ]
    terms = npid.loss(view, rows, index=INDEX).terms
    assert float(terms["proximal"].detach()) == pytest.approx(3 * sum(distances) / 4, rel=1e-4)
    assert set(method().eval().loss(view, rows, index=INDEX).terms) == {"contrast", "accuracy"}
    npid.bank.rows[INDEX] = features_of(npid, view)
    assert float(npid.loss(view, rows, index=INDEX).terms["proximal"].detach()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("objective", "chance"), [("nce", pirl_nce_chance), ("softmax", info_nce_chance)])
def test_equal_logits_cost_chance(images: Tensor, objective: str, chance: Any) -> None:
    for negatives, compared in ((0, 19), (20, 19), (10, 10)):
        npid = method(objective=objective, negatives=negatives)
        npid.bank.rows.copy_(functional.normalize(torch.ones(20, 16), dim=1))
        npid.head[0].weight.data.zero_()
        npid.head[0].bias.data.zero_()  # features of no direction: every logit is 0
        assert npid.chance == pytest.approx(chance(compared))
        view, rows = made(npid, images)
        rows = rows.masked_fill(torch.isin(rows, INDEX), 0) if negatives == 10 else rows
        assert float(npid.loss(view, rows, index=INDEX).terms["contrast"].detach()) == pytest.approx(
            npid.chance, rel=1e-4
        )


def test_chance_counts_the_proximal_term_of_independent_features() -> None:
    assert method(proximal=3.0).chance == pytest.approx(pirl_nce_chance(10) + 6)


def test_after_a_step_the_batch_s_rows_have_moved_and_no_other(images: Tensor) -> None:
    npid = method(bank_momentum=0.25).eval()
    view, rows = made(npid, images)
    before = npid.bank.rows.clone()
    scored = npid.loss(view, rows, index=INDEX)
    assert torch.equal(npid.bank.rows, before)
    npid.after_step(scored.handed_over, 0.1)
    expected = before.clone()
    expected[INDEX] = functional.normalize(0.25 * before[INDEX] + 0.75 * features_of(npid, view), dim=1)
    torch.testing.assert_close(npid.bank.rows, expected)


def test_the_memory_gets_no_gradient(images: Tensor) -> None:
    npid = method(proximal=1.0)
    scored = npid.loss(*made(npid, images), index=INDEX)
    terms = scored.terms
    (terms["contrast"] + terms["proximal"]).backward()
    npid.after_step(scored.handed_over, 0.1)
    assert npid.bank.rows.grad is None
    assert not npid.bank.rows.requires_grad
    assert not terms["accuracy"].requires_grad


def test_a_resumed_run_goes_on_with_the_same_bank_and_z(images: Tensor) -> None:
    first, second = method(), method()
    for seed in range(3):
        first.after_step(first.loss(*made(first, images, seed), index=INDEX).handed_over, 0.1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    losses = [npid.loss(*made(npid, images, 9), index=INDEX).terms["contrast"] for npid in (first, second)]
    assert torch.equal(*losses)
    assert {"bank.rows", "log_z"} <= set(first.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"objective": "hinge"}, "objective is 'hinge'; choose one of nce, softmax"),
        ({"negatives": 21}, "negatives is 21; 20 samples allow"),
        ({"negatives": -1}, "negatives is -1"),
        ({"bank_momentum": -0.5}, r"bank_momentum is -0\.5"),
        ({"proximal": -1.0}, r"proximal is -1\.0"),
        ({"projection": 0}, "projection is 0"),
        ({"crops": 0}, "crops is 0"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
        ({"flip": 2.0}, r"flip is 2\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_samples_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"npid needs pictures of shape \(C, H, W\)"):
        NPID(ResNet(depth=10, width=4), DataSpec(20, {"images": (16,)}))
