"""parameters: the couplings of any energy, by Walsh coefficients, beside the true ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.encoders import build_encoder
from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.errors import DoesNotApply, NeedsTruth
from ssl_models.protocols import parameters
from ssl_models.protocols._common.score import Representation, Score
from ssl_models.protocols._density.couplings import beyond
from tests.ssl_models import densities, kinds, oracles

torch.set_num_threads(1)
PAIRS = np.triu_indices(densities.UNITS, 1)


def scores(given: Representation, seed: int = 0) -> dict[str, Score]:
    return {score.metric: score for score in parameters.evaluate(given, seed=seed).scores}


def with_encoder(encoder: Any, **known: Any) -> Representation:
    given = densities.representation("binary", encoder)
    return replace(given, known={**given.known, **known})


def test_an_oracle_scores_one() -> None:
    for encoder in (oracles.truth("binary"), densities.ring()):
        found = scores(with_encoder(encoder))
        assert found["agreement"].value == pytest.approx(1, abs=1e-5)
        assert found["correlation"].value == pytest.approx(1, abs=1e-5)
        assert found["fields"].value == pytest.approx(1, abs=1e-4)
        assert found["error"].value == pytest.approx(0, abs=1e-5)
        assert found["agreement"].low > 0.99


def test_a_constant_scores_chance() -> None:
    found = scores(with_encoder(oracles.constant("binary", 3.0)))
    assert found["agreement"].value == pytest.approx(0, abs=1e-6)
    assert found["correlation"].value == 0
    assert found["fields"].value == pytest.approx(0, abs=1e-6)
    true = np.asarray(densities.known("binary")["couplings"])[PAIRS]
    assert found["error"].value == pytest.approx(np.sqrt(np.mean(true**2)), rel=1e-5)


def test_shuffled_truth_scores_chance() -> None:
    """Couplings of other units: a permutation that no symmetry of the ring maps onto itself."""
    order = [0, 2, 4, 6, 8, 1, 3, 5, 7]
    true = np.asarray(densities.known("binary")["couplings"])[np.ix_(order, order)]
    found = scores(with_encoder(densities.ring(), couplings=true.tolist()))
    assert found["agreement"].value < 0
    assert abs(found["correlation"].value) < 0.4


def test_same_seed_same_numbers() -> None:
    given = with_encoder(build_encoder("rbm", visible=densities.UNITS, hidden=3))
    assert parameters.evaluate(given, seed=3).scores == parameters.evaluate(given, seed=3).scores


def test_the_order_of_samples_does_not_matter() -> None:
    """No sample is looked at."""
    given = with_encoder(densities.ring())
    blind = replace(given, samples=None, features=None, labels=None)
    assert parameters.evaluate(given, seed=0).scores == parameters.evaluate(blind, seed=0).scores


def test_missing_truth_is_told() -> None:
    given = densities.representation("binary")
    with pytest.raises(NeedsTruth, match="the couplings that these data were drawn by are not known"):
        scores(replace(given, known={"binary": True}))
    with pytest.raises(NeedsTruth, match="are all 0"):
        scores(with_encoder(densities.ring(), couplings=np.zeros((9, 9)).tolist()))
    without = {name: value for name, value in densities.known("binary").items() if name != "fields"}
    assert set(scores(replace(given, known=without))) == {"agreement", "correlation", "error"}


@pytest.mark.parametrize("couplings", [np.ones((9, 8)), np.triu(np.ones((9, 9)), 1), np.ones((9, 9)), np.ones(9)])
def test_bad_settings_are_refused(couplings: np.ndarray) -> None:
    """It has none; couplings of another form are mistakes of the reader."""
    with pytest.raises(ValueError, match="must be square, symmetric, and 0 on the diagonal") as refused:
        scores(with_encoder(densities.ring(), couplings=couplings.tolist()))
    assert not isinstance(refused.value, DoesNotApply)


@pytest.mark.parametrize("fields", [[0.1] * 4, [[0.1] * 9], [float("nan")] * 9])
def test_fields_that_do_not_fit_are_refused(fields: list[float]) -> None:
    with pytest.raises(ValueError, match="must be one finite number for each of 9 units"):
        scores(with_encoder(densities.ring(), fields=fields))


def test_energies_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="energies that are not finite"):
        scores(with_encoder(oracles.constant("binary", float("nan"))))


def test_coefficients_by_a_loop_over_all_states() -> None:
    torch.manual_seed(1)
    encoder = build_encoder("rbm", visible=4, hidden=3)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_()
    second, first = np.zeros((4, 4)), np.zeros(4)
    for state in product((0.0, 1.0), repeat=4):
        height = -float(encoder.energy(torch.tensor([state])).detach())
        spins = [2 * x - 1 for x in state]
        for i in range(4):
            first[i] += height * spins[i] / 16
            for j in range(4):
                second[i, j] += (i != j) * height * spins[i] * spins[j] / 16
    found, pulls = parameters.walsh(encoder)
    np.testing.assert_allclose(found, second, atol=1e-6)
    np.testing.assert_allclose(pulls, first, atol=1e-6)


def test_each_state_is_looked_at_once_and_few_at_a_time() -> None:
    """Seventeen units are two pieces; -E = s_0 s_16 has that coefficient alone."""
    seen: list[int] = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return -(2 * x[:, 0] - 1) * (2 * x[:, 16] - 1)

    found, pulls = parameters.walsh(oracles.Given(counted, 17, True))
    assert seen == [2**16, 2**16]
    expected = np.zeros((17, 17))
    expected[0, 16] = expected[16, 0] = 1
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(pulls, np.zeros(17), atol=1e-9)


def test_those_of_a_boltzmann_machine_are_its_parameters() -> None:
    torch.manual_seed(0)
    encoder = Boltzmann(visible=6)
    with torch.no_grad():
        encoder.upper.normal_()
        encoder.fields.normal_()
    found, pulls = parameters.walsh(encoder)
    np.testing.assert_allclose(found, encoder.couplings.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(pulls, encoder.fields.detach().numpy(), atol=1e-5)


def test_a_constant_added_to_the_energy_changes_nothing() -> None:
    one, other = (scores(with_encoder(oracles.truth("binary", height))) for height in (0.0, 4.0))
    assert one["agreement"].value == pytest.approx(other["agreement"].value, abs=1e-5)


def test_measures_by_hand() -> None:
    aim, own = np.array([3.0, 4.0]), np.array([3.0, 1.0])
    assert parameters.agreement(own, aim) == pytest.approx(1 - 3 / 5)
    assert parameters.agreement(2 * aim, aim) == pytest.approx(0)
    assert np.isnan(parameters.agreement(own, np.zeros(2)))
    assert parameters.error(own, aim) == pytest.approx(3 / 2**0.5)
    assert parameters.correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1)
    assert parameters.correlation(np.ones(3), np.arange(3.0)) == 0


def test_what_it_does_not_apply_to() -> None:
    with pytest.raises(DoesNotApply, match="is for vectors of 0 and 1"):
        scores(with_encoder(oracles.truth("reals")))
    with pytest.raises(DoesNotApply, match="the energy is of 4 units, and the couplings are of 9"):
        scores(replace(with_encoder(densities.ring()), encoder=lambda: Boltzmann(visible=4)))
    sound = kinds.representation("sound")
    with pytest.raises(DoesNotApply, match="needs an energy"):
        scores(replace(sound, known=densities.known("binary")))


def test_a_scale_is_pointed_where_learnt_couplings_are_beyond_it() -> None:
    spread = np.array([-2.0, 0.5, 2.0])
    ends = [beyond(values, 1.0) for values in (spread, spread[:2], spread[1:], spread / 2, spread / 2 * (1 + 1e-6))]
    assert ends == ["both", "min", "max", "neither", "neither"]


def test_the_picture_shows_what_was_learnt() -> None:
    encoders = (densities.ring(), oracles.constant("binary"))
    same, none = (parameters.evaluate(with_encoder(each), seed=0).pictures["couplings"] for each in encoders)
    assert same.shape == none.shape
    left, middle = slice(30, 270), slice(290, 550)
    assert (same[:, left] == none[:, left]).mean() > 0.99, "the true ones"
    assert (same[:, middle] != none[:, middle]).mean() > 0.05
