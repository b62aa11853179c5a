"""NPID's noise-contrastive estimation against values worked by hand and the paper's equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.losses.contrastive import info_nce, pirl_nce, pirl_nce_chance
from ssl_models.losses.noise_contrastive import kept_partition, log_partition, nce

torch.set_num_threads(1)


def logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def test_the_partition_by_hand() -> None:
    # n = 10, exp of the logits 1, 2, 3, 6: Z = 10 * 12 / 4 = 30
    negative = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).log()
    assert float(log_partition(negative, 10).exp()) == pytest.approx(30, rel=1e-5)


def test_the_partition_of_all_rows_is_the_softmax_s_denominator() -> None:
    every = logits(1, 50)
    assert float(log_partition(every, 50)) == pytest.approx(float(every.exp().sum().log()), rel=1e-5)


def test_the_partition_is_estimated_without_bias_from_a_sample() -> None:
    bank = logits(200)
    rows = torch.randint(200, (4000, 20), generator=Generator().manual_seed(1))
    assert float(log_partition(bank[rows], 200)) == pytest.approx(float(bank.logsumexp(0)), abs=0.02)


def test_the_partition_that_is_known_is_kept_and_an_unknown_one_is_estimated() -> None:
    negative = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).log().requires_grad_()
    found = kept_partition(torch.tensor(torch.nan), negative, 10)
    assert float(found.exp()) == pytest.approx(30, rel=1e-5)
    assert not found.requires_grad
    assert float(kept_partition(torch.tensor(2.5), negative, 10)) == 2.5


def test_nce_by_hand() -> None:
    # n = 4, Z = 8, m = 2, m P_n = 1/2. P = 4/8 for the own row: h = 1/2. P = 1/8 and 12/8 for the noise: h = 1/5, 3/4.
    loss = nce(torch.tensor([4.0]).log(), torch.tensor([[1.0, 12.0]]).log(), torch.tensor(math.log(8)), 4)
    assert float(loss) == pytest.approx(-math.log(1 / 2) - math.log(4 / 5) - math.log(1 / 4), rel=1e-5)


def test_nce_is_equations_6_and_7_of_the_paper() -> None:
    positive, negative, samples, z = 2 * logits(3), 2 * logits(3, 5, seed=1), 40, 77.0

    def h(logit: Tensor) -> float:
        p = math.exp(logit) / z
        return p / (p + 5 * (1 / samples))

    loss = nce(positive, negative, torch.tensor(z).log(), samples)
    for i in range(3):
        expected = -math.log(h(positive[i])) - sum(math.log(1 - h(noise)) for noise in negative[i])
        assert float(loss[i]) == pytest.approx(expected, rel=1e-5)


def test_equal_logits_cost_chance_at_any_level_and_number_of_samples() -> None:
    for level, samples in ((0.0, 30), (3.0, 1000)):
        positive, negative = torch.full((4,), level), torch.full((4, 16), level)
        loss = nce(positive, negative, log_partition(negative, samples), samples)
        assert loss.tolist() == pytest.approx([pirl_nce_chance(16)] * 4, rel=1e-5)


def test_with_each_query_s_own_estimate_it_is_pirl_s_form() -> None:
    positive, negative = logits(4), logits(4, 9, seed=1)
    own = torch.stack(
        [nce(positive[i, None], negative[i, None], log_partition(negative[i], 30), 30)[0] for i in range(4)]
    )
    torch.testing.assert_close(own, pirl_nce(positive, negative))


def test_the_best_logits_are_those_of_the_model_distribution() -> None:
    """NCE's minimum over free logits is the distribution of the data itself, normalised by Z without being told to."""
    probability = torch.tensor([0.5, 0.25, 0.15, 0.1])
    scores = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=100, line_search_fn="strong_wolfe")
    log_z = torch.tensor(math.log(3.0))

    def expected_loss() -> Tensor:
        # the data draw row i with its probability, the m = 8 noise rows are uniform: two of each
        optimizer.zero_grad()
        loss = (probability * nce(scores, scores.repeat(2).expand(4, 8), log_z, 4)).sum()
        loss.backward()
        return loss

    optimizer.step(expected_loss)
    torch.testing.assert_close((scores.detach() - log_z).exp(), probability, rtol=1e-3, atol=1e-4)


def test_the_constant_lets_no_gradient_through_and_makes_negatives_independent() -> None:
    negative = logits(2, 3).requires_grad_()
    log_z = log_partition(negative, 10)
    assert not log_z.requires_grad
    nce(logits(2), negative, log_z, 10).sum().backward()
    pushed = negative.grad.clone()
    other = negative.detach().clone()
    other[:, 1:] = 5.0
    other.requires_grad_()
    nce(logits(2), other, log_z, 10).sum().backward()
    torch.testing.assert_close(other.grad[:, 0], pushed[:, 0])
    softmax = [tensor.detach().clone().requires_grad_() for tensor in (negative, other)]
    for tensor in softmax:
        info_nce(logits(2), tensor).sum().backward()
    assert (softmax[0].grad[:, 0] - softmax[1].grad[:, 0]).abs().min() > 0.01


def test_every_negative_is_pushed_away_and_the_positive_pulled_and_extremes_are_finite() -> None:
    positive = torch.tensor([1e3, -1e3, 0.0], requires_grad=True)
    negative = torch.tensor([[-1e4, -1e4], [1e3, 1e3], [1.0, -1.0]], requires_grad=True)
    loss = nce(positive, negative, torch.tensor(2.0), 10)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert (positive.grad <= 0).all()
    assert (negative.grad >= 0).all()
    assert positive.grad[2] < 0
    assert (negative.grad[2] > 0).all()
