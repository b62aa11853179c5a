"""The losses of energies against values worked by hand, and against the papers' equations in loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.losses.energy import denoising_score, nce_chance, noise_contrastive, probability_flow, ratio_matching
from tests.ssl_models.densities import every_state, probabilities
from tests.ssl_models.energy_methods import FEW, small

torch.set_num_threads(1)

ENERGIES = ("boltzmann", "rbm", "energy_net")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def neighbour(state: int, unit: int) -> int:
    """The number of the state that differs in one unit; unit 0 is the lowest bit."""
    return state ^ (1 << unit)


# ---- ratio matching


def test_ratio_matching_by_hand() -> None:
    # ratios p(x) / p(flipped) of 1 and 3, then of 3 and 1/4: g = 1/2, 1/4; 1/4, 4/5
    flips = torch.tensor([[0.0, math.log(3)], [math.log(3), -math.log(4)]])
    assert float(ratio_matching(flips)) == pytest.approx((1 / 4 + 1 / 16 + 1 / 16 + 16 / 25) / 2)


def test_ratio_matching_lies_between_nothing_and_one_for_each_number() -> None:
    assert float(ratio_matching(torch.full((3, 5), 1e4))) == 0
    assert float(ratio_matching(torch.zeros(3, 5))) == pytest.approx(5 / 4)
    assert float(ratio_matching(torch.full((3, 5), -1e4))) == 5


@pytest.mark.parametrize("name", ENERGIES)
def test_ratio_matching_is_the_mean_over_samples_of_squared_g(name: str) -> None:
    encoder = small(name)
    shares, states = probabilities(encoder).tolist(), [3, 3, 9, 14]
    expected = sum((1 / (1 + shares[x] / shares[neighbour(x, i)])) ** 2 for x in states for i in range(FEW))
    found = ratio_matching(encoder.flips(every_state(FEW)[states]))
    assert float(found.detach()) == pytest.approx(expected / len(states), rel=1e-4)


def test_the_expectation_of_ratio_matching_is_the_distance_of_all_ratios_up_to_a_constant() -> None:
    """Hyvarinen's distance: 1/2 E sum_i (g_data - g_model)^2 of the ratio p(x) / p(flipped), and of its inverse."""
    truth = probabilities(small("boltzmann", seed=7)).tolist()

    def g(shares: list[float], x: int, y: int) -> float:
        return 1 / (1 + shares[x] / shares[y])

    apart = []
    for seed in range(4):
        encoder = small("rbm", seed)
        shares = probabilities(encoder).tolist()
        distance = sum(
            truth[x] / 2 * ((g(truth, x, y) - g(shares, x, y)) ** 2 + (g(truth, y, x) - g(shares, y, x)) ** 2)
            for x in range(2**FEW)
            for y in (neighbour(x, i) for i in range(FEW))
        )
        each = torch.stack([ratio_matching(row[None]) for row in encoder.flips(every_state(FEW))])
        apart.append(float((each * torch.tensor(truth)).sum().detach()) - distance)
    assert apart == pytest.approx([apart[0]] * 4, abs=1e-5)


# ---- minimum probability flow


def test_probability_flow_by_hand() -> None:
    # exp of half the fall in energy: 1 and 1/2, then 1/2 and 3
    flips = torch.tensor([[0.0, 2 * math.log(2)], [2 * math.log(2), -2 * math.log(3)]])
    assert float(probability_flow(flips)) == pytest.approx((1 + 1 / 2 + 1 / 2 + 3) / 2)


def test_probability_flow_ends_where_neighbours_are_far_up_and_is_finite_far_down() -> None:
    assert float(probability_flow(torch.full((3, 5), 1e4))) == 0
    assert float(probability_flow(torch.zeros(3, 5))) == pytest.approx(5)
    assert math.isfinite(float(probability_flow(torch.full((1, 1), -176.0))))
    assert float(probability_flow(torch.full((1, 1), -178.0))) == math.inf


@pytest.mark.parametrize("name", ENERGIES)
def test_probability_flow_is_what_leaves_each_sample_in_dynamics_that_leave_the_model_as_it_is(name: str) -> None:
    """The paper's master equation, dp/dt = Gamma p, Gamma_ij = exp((E_j - E_i) / 2) for states of one flip."""
    encoder = small(name)
    states = every_state(FEW)
    energy, rates = encoder.energy(states).detach().tolist(), torch.zeros(2**FEW, 2**FEW)
    for j in range(2**FEW):
        for i in (neighbour(j, unit) for unit in range(FEW)):
            rates[i, j] = math.exp((energy[j] - energy[i]) / 2)
            rates[j, j] -= rates[i, j]
    assert (rates @ probabilities(encoder)).abs().max() < 1e-5
    chosen = [0, 5, 5, 12]
    expected = -sum(float(rates[x, x]) for x in chosen) / len(chosen)
    assert float(probability_flow(encoder.flips(states[chosen])).detach()) == pytest.approx(expected, rel=1e-4)


# ---- noise-contrastive estimation


def test_noise_contrastive_by_hand() -> None:
    # h = 3/4 for the sample; 1/2 and 1/4 for two of noise: log 4/3 + log 2 + log 4/3
    found = noise_contrastive(torch.tensor([math.log(3)]), torch.tensor([0.0, -math.log(3)]), 2)
    assert float(found) == pytest.approx(2 * math.log(4 / 3) + math.log(2), rel=1e-6)


@pytest.mark.parametrize("ratio", [1, 5, 20])
def test_a_model_that_is_the_noise_costs_chance(ratio: int) -> None:
    samples, noise = (torch.full((rows,), -math.log(ratio)) for rows in (3, 3 * ratio))
    assert float(noise_contrastive(samples, noise, ratio)) == pytest.approx(nce_chance(ratio), rel=1e-6)
    assert nce_chance(1) == pytest.approx(2 * math.log(2))


def test_noise_contrastive_is_the_log_likelihood_of_the_classes() -> None:
    model, other = torch.rand(4 * 3 + 4, generator=Generator().manual_seed(0)) + 0.1, 0.4

    def h(share: float) -> float:
        return share / (share + 3 * other)

    expected = -sum(math.log(h(share)) for share in model[:4].tolist()) / 4
    expected -= sum(math.log(1 - h(share)) for share in model[4:].tolist()) / 4
    logits = model.log() - math.log(other) - math.log(3)
    assert float(noise_contrastive(logits[:4], logits[4:], 3)) == pytest.approx(expected, rel=1e-5)


# ---- denoising score matching


def test_denoising_score_by_hand() -> None:
    # sigma * score + noise: (1, 3/2) and (0, -1)
    found = denoising_score(torch.tensor([[1.0, -1.0], [2.0, 0.0]]), torch.tensor([[0.5, 2.0], [-1.0, -1.0]]), 0.5)
    assert float(found) == pytest.approx((1 + 9 / 4 + 0 + 1) / 2 / 2)


def test_denoising_score_is_equation_9_of_the_paper_times_the_noise_s_variance() -> None:
    clean, noise, sigma = normal(5, 3), normal(5, 3, seed=1), 0.7
    noisy = clean + sigma * noise
    found_score = -noisy / 2
    expected = 0.0
    for row in range(5):
        for number in range(3):
            slope = float((clean - noisy)[row, number]) / sigma**2  # of log q(noisy | clean), eq. 10
            expected += (float(found_score[row, number]) - slope) ** 2 / 2 / 5
    assert float(denoising_score(found_score, noise, sigma)) == pytest.approx(sigma**2 * expected, rel=1e-5)


def test_a_score_of_nothing_costs_half_the_numbers_of_a_vector() -> None:
    noise = normal(20000, 4)
    assert float(denoising_score(torch.zeros_like(noise), noise, 0.3)) == pytest.approx(2, abs=0.05)
