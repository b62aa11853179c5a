"""log_likelihood: the exact value, the gap to the truth, annealing beside it, and what is told where Z is not exact."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.encoders import build_encoder
from ssl_models.errors import DoesNotApply, NeedsParts, NeedsSamples, NeedsTruth
from ssl_models.protocols import log_likelihood
from ssl_models.protocols._common.score import Findings, Representation, Score
from tests.ssl_models import densities, kinds, oracles

torch.set_num_threads(1)
QUICK: dict[str, int] = {"chains": 64, "temperatures": 60, "points": 128}
KINDS = densities.KINDS


def measured(given: Representation, seed: int = 0, **settings: int) -> Findings:
    return log_likelihood.evaluate(given, seed=seed, **(QUICK | settings))


def scores(given: Representation, seed: int = 0, **settings: int) -> dict[str, Score]:
    return {score.metric: score for score in measured(given, seed, **settings).scores}


def lacking(given: Representation, kind: str) -> Representation:
    def truth(split: str, name: str) -> np.ndarray:
        if name == kind:
            raise NeedsTruth(f"there are no {kind}")
        return given.truth(split, name)

    return replace(given, truth=truth)


@pytest.mark.parametrize("kind", KINDS)
def test_an_oracle_scores_one(kind: str) -> None:
    """The gap to the truth is 0, sample by sample, so that its interval is a point."""
    found = scores(densities.representation(kind, oracles.truth(kind)))
    assert found["gap"].value == pytest.approx(0, abs=1e-3)
    assert found["gap"].high - found["gap"].low < 1e-3
    given = densities.representation(kind)
    assert found["log_likelihood"].value == pytest.approx(float(given.truth("test", "log_density").mean()), abs=1e-3)


def test_a_constant_scores_chance() -> None:
    binary = scores(densities.representation("binary", oracles.constant("binary")))
    assert binary["log_likelihood"].value == pytest.approx(-densities.UNITS * math.log(2), rel=1e-5)
    reals = scores(densities.representation("reals", oracles.constant("reals")))
    assert reals["log_likelihood"].value == pytest.approx(-math.log(64), rel=1e-4)  # of a box of 8 x 8


@pytest.mark.parametrize("kind", KINDS)
def test_shuffled_truth_scores_chance(kind: str) -> None:
    """The mean is the same; the differences, of which the interval is made, are no longer 0."""
    given = densities.representation(kind, oracles.truth(kind))
    order = np.random.default_rng(0).permutation(64)
    moved = replace(given, truth=lambda split, name: given.truth(split, name)[order])
    found = scores(moved)["gap"]
    assert found.value == pytest.approx(0, abs=1e-3)
    assert found.high - found.low > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_numbers(kind: str) -> None:
    given = densities.representation(kind)
    first, again, other = (measured(given, seed).scores for seed in (3, 3, 4))
    assert first == again
    assert first != other  # the annealed estimate


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_samples_does_not_matter(kind: str) -> None:
    given = densities.representation(kind)
    order = np.random.default_rng(1).permutation(64)
    moved = replace(
        given,
        samples=lambda split: {"vectors": given.samples(split)["vectors"][order if split == "test" else slice(None)]},
        truth=lambda split, name: given.truth(split, name)[order],
    )
    first, again = scores(given), scores(moved)
    for metric, score in first.items():
        assert score.value == pytest.approx(again[metric].value, abs=1e-6)


def test_missing_truth_is_told() -> None:
    """Without the true log density there is no gap; all else is there."""
    found = scores(lacking(densities.representation("binary"), "log_density"))
    assert set(found) == {"log_likelihood", "log_z", "ais_error"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 1}, "chains is 1"),
        ({"temperatures": 0}, "temperatures is 0"),
        ({"points": 1}, "points is 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        measured(densities.representation("binary"), **settings)
    assert not isinstance(refused.value, DoesNotApply)


def test_it_is_the_mean_of_minus_energy_less_log_z_by_a_loop() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("rbm", visible=densities.UNITS, hidden=4)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(0, 0.5)
    given = densities.representation("binary", encoder)
    total = sum(math.exp(-float(encoder.energy(x[None]).detach())) for x in densities.every_state())
    values = [
        math.log(math.exp(-float(encoder.energy(torch.from_numpy(row)[None]).detach())) / total)
        for row in given.samples("test")["vectors"]
    ]
    found = scores(given)
    assert found["log_likelihood"].value == pytest.approx(np.mean(values), rel=1e-5)
    assert found["log_z"].value == pytest.approx(math.log(total), rel=1e-5)
    half = 1.96 * np.std(values, ddof=1) / math.sqrt(len(values))
    assert found["log_likelihood"].high - found["log_likelihood"].value == pytest.approx(half, rel=1e-4)


def test_a_constant_added_to_the_energy_moves_log_z_alone() -> None:
    one, other = (scores(densities.representation("reals", oracles.truth("reals", height))) for height in (0.0, 2.0))
    assert one["log_likelihood"].value == pytest.approx(other["log_likelihood"].value, abs=1e-4)
    assert one["log_z"].value - other["log_z"].value == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_annealing_agrees_with_the_exact_log_z(kind: str) -> None:
    found = scores(densities.representation(kind, oracles.truth(kind)), chains=128, temperatures=200)["ais_error"]
    error = (found.high - found.value) / 1.96
    assert 0 < error < 0.1
    assert abs(found.value) < 4 * error


def wide(hidden: int, seed: int = 0) -> tuple[Any, Representation]:
    """An RBM of 24 visible units and vectors for it."""
    torch.manual_seed(seed)
    encoder = build_encoder("rbm", visible=24, hidden=hidden)
    with torch.no_grad():
        encoder.weight.normal_(0, 0.4)
    rows = (torch.rand(32, 24) < 0.5).float()
    given = densities.representation("binary")
    known = {"binary": True, "mean": [0.5] * 24, "deviation": [0.5] * 24}
    return encoder, replace(given, encoder=lambda: encoder, samples=lambda _: {"vectors": rows.numpy()}, known=known)


def test_where_there_are_too_many_states_annealing_gives_log_z_and_its_error_counts() -> None:
    """The same machine but for units that do nothing is small enough: then log Z is exact, and log 2 less for each."""
    encoder, given = wide(24)
    with torch.no_grad():
        encoder.weight[:, 16:] = 0
    estimated = lacking(given, "log_density")
    found = measured(estimated, chains=256, temperatures=300)
    by_metric = {score.metric: score for score in found.scores}
    assert set(by_metric) == {"log_likelihood", "log_z"}
    assert "annealed importance sampling" in found.tables["log_z"]["nats"]
    small = build_encoder("rbm", visible=24, hidden=16)
    with torch.no_grad():
        small.weight.copy_(encoder.weight[:, :16])
        exact = float(small.log_partition()) + 8 * math.log(2)
    error = (by_metric["log_z"].high - by_metric["log_z"].value) / 1.96
    assert 0 < error < 0.2
    assert abs(by_metric["log_z"].value - exact) < 4 * error
    width = by_metric["log_likelihood"].high - by_metric["log_likelihood"].value
    assert width > 1.96 * error


def test_the_table_says_how_log_z_was_had_and_notes_warn() -> None:
    _, given = wide(6)
    told = measured(lacking(given, "log_density")).tables["log_z"]
    assert told["nats"][0] == "a sum over the states of 6 hidden units"
    reals = measured(densities.representation("reals", oracles.truth("reals")))
    assert reals.tables["log_z"]["nats"][0] == "quadrature, 128 points each way"
    assert reals.notes == ()
    coarse = measured(densities.representation("reals", oracles.truth("reals")), points=12)
    assert any("give more points" in note for note in coarse.notes)
    few = measured(densities.representation("reals", oracles.truth("reals")), chains=4, temperatures=1)
    assert any("not to be trusted, and the exact one is used" in note for note in few.notes)
    _, large = wide(24)
    unsure = measured(lacking(large, "log_density"), chains=4, temperatures=1)
    assert any("not to be trusted; more temperatures help" in note for note in unsure.notes)


def of_sources(given: Representation, sources: np.ndarray) -> Representation:
    stored = {"vectors": given.samples("test")["vectors"], "source": sources[:, None].astype(np.int32)}
    return replace(given, samples=lambda _split: stored)


def test_samples_of_one_source_count_as_one() -> None:
    """Each source twice over: the deviation of the 32 sources' means over sqrt(32), and Student's t of 31 (2.0395)."""
    given = densities.representation("binary")
    rows = np.repeat(given.samples("test")["vectors"][:32], 2, axis=0)
    twice = replace(given, samples=lambda _split: {"vectors": rows})
    apart = scores(lacking(twice, "log_density"))["log_likelihood"]
    found = scores(lacking(of_sources(twice, np.arange(64) // 2), "log_density"))["log_likelihood"]
    once = scores(lacking(replace(given, samples=lambda _split: {"vectors": rows[::2]}), "log_density"))[
        "log_likelihood"
    ]
    assert found.value == apart.value == pytest.approx(once.value, abs=1e-6)
    assert (found.high - found.value) / (once.high - once.value) == pytest.approx(2.0395 / 1.96, rel=1e-4)
    assert (apart.high - apart.value) / (once.high - once.value) == pytest.approx(math.sqrt(31 / 63), rel=1e-4)


def test_sources_of_unequal_size_by_a_loop() -> None:
    given = densities.representation("binary", oracles.truth("binary"))
    sources = np.repeat([0, 1, 2, 3], [4, 10, 20, 30])
    values = given.truth("test", "log_density").astype(float)
    total = 0.0
    for source in range(4):
        total += sum(value - values.mean() for value, own in zip(values, sources, strict=True) if own == source) ** 2
    half = 3.18245 * math.sqrt(4 / 3 * total) / 64  # Student's t of three degrees of freedom
    found = scores(of_sources(given, sources))["log_likelihood"]
    assert found.high - found.value == pytest.approx(half, rel=1e-3)


def test_one_source_is_told_and_each_its_own_changes_nothing() -> None:
    given = densities.representation("binary")
    plain, one, own = (
        measured(each) for each in (given, of_sources(given, np.zeros(64)), of_sources(given, np.arange(64)))
    )
    assert plain.scores == one.scores == own.scores
    assert plain.notes == own.notes == ()
    assert any("All test samples are of one source" in note for note in one.notes)


def test_as_many_energies_as_samples_grids_and_chains() -> None:
    """128 x 128 and 64 x 64 cells, 64 samples; a chain looks at the energy a few times at each temperature."""
    seen = [0]

    def counted(x: torch.Tensor) -> torch.Tensor:
        seen[0] += len(x)
        return -densities.mixture_log_density(x)

    encoder = oracles.Given(counted, 2, False)
    given = replace(densities.representation("reals"), encoder=lambda: encoder)
    measured(given, chains=2, temperatures=1)
    fixed = 128**2 + 64**2 + 64
    assert fixed < seen[0] <= fixed + 2 * 4
    short, seen[0] = seen[0], 0
    measured(given, chains=10, temperatures=21)
    assert seen[0] - fixed <= 10 * 21 * 8
    assert seen[0] > short


def test_what_it_does_not_apply_to() -> None:
    with pytest.raises(NeedsSamples, match="the test split has 1 samples; an interval takes at least 2"):
        measured(densities.representation("binary", test=1))
    with pytest.raises(DoesNotApply, match="the protocol 'log_likelihood' needs an energy, and the encoder 'ear'"):
        measured(kinds.representation("sound"))
    text = replace(kinds.representation("text"), encoder=lambda: oracles.truth("binary"))
    with pytest.raises(NeedsParts, match="the protocol 'log_likelihood' reads vectors, and these samples have tokens"):
        measured(text)


def test_energies_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="energies that are not finite"):
        measured(densities.representation("binary", oracles.constant("binary", math.nan)))


@pytest.mark.parametrize("values", [np.zeros(3), np.full(64, np.nan)])
def test_a_true_density_that_does_not_fit_is_refused(values: np.ndarray) -> None:
    given = replace(densities.representation("binary"), truth=lambda _split, _name: values)
    with pytest.raises(ValueError, match="must be one finite number for each of 64"):
        measured(given)
