"""The world of strokes: its densities are exact, and its draws are of them."""

import json
import math

import numpy as np
import pytest
import torch

from ssl_models.datasets import world_strokes
from ssl_models.datasets._world_strokes.bars import Bars
from ssl_models.datasets._world_strokes.ising import DOWN, RIGHT, Ising
from ssl_models.datasets._world_strokes.pattern import every_state
from ssl_models.datasets._world_strokes.silhouettes import Silhouettes, shapes
from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.partition import log_partition

torch.set_num_threads(1)
ENUMERABLE = [Bars(2), Bars(3), Bars(4), Ising(2), Ising(3, 1.0), Ising(4), Silhouettes(4), Silhouettes(4, 0.2)]
OF_ALL = [Bars(4), Ising(4), Ising(3, 1.0), Silhouettes(4), Silhouettes(8)]
DRAWS = 20_000


def drawn(pattern, seed=0, count=DRAWS):
    return pattern.draw(count, np.random.default_rng(seed))


def picture(text):
    """Rows of . and # -> (1, D)."""
    return np.array([[letter == "#" for letter in text.replace(" ", "")]], np.int8)


@pytest.mark.parametrize("pattern", ENUMERABLE, ids=str)
def test_the_probabilities_of_all_pictures_sum_to_1_and_give_mean_and_entropy(pattern):
    states = every_state(pattern.side**2)
    shares = np.exp(pattern.log_density(states))
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert pattern.mean() == pytest.approx(shares @ states, abs=1e-12)
    there = shares > 0
    assert pattern.facts()["entropy"] == pytest.approx(-(shares[there] * np.log(shares[there])).sum(), abs=1e-10)


@pytest.mark.parametrize("pattern", OF_ALL, ids=str)
def test_draws_have_the_true_mean_and_are_as_likely_as_the_density_says(pattern):
    x, _ = drawn(pattern)
    mean = pattern.mean()
    assert np.abs(x.mean(0) - mean).max() < 5 * math.sqrt(0.25 / DRAWS)
    if "entropy" in pattern.facts():
        log_shares = pattern.log_density(x)
        assert -log_shares.mean() == pytest.approx(
            pattern.facts()["entropy"], abs=5 * log_shares.std() / math.sqrt(DRAWS)
        )


def test_bars_at_4_by_4_have_30_pictures_and_an_entropy_of_3_379_nats():
    shares = np.exp(Bars(4).log_density(every_state(16)))
    values, counts = np.unique(shares, return_counts=True)
    assert values == pytest.approx([0, 1 / 32, 1 / 16])
    assert counts.tolist() == [2**16 - 30, 28, 2]
    assert Bars(4).facts()["entropy"] == pytest.approx(28 / 32 * math.log(32) + 2 / 16 * math.log(16))
    assert Bars(4).facts()["entropy"] == pytest.approx(3.379, abs=5e-4)


def test_bars_by_hand():
    of = Bars(3)
    likely = {"###...###": 1 / 16, "#.##.##.#": 1 / 16, "#########": 1 / 8, ".........": 1 / 8, "###...##.": 0}
    found = [np.exp(of.log_density(picture(text)))[0] for text in likely]
    assert found == pytest.approx(list(likely.values()))


@pytest.mark.parametrize("side", [2, 4, 8])
def test_a_bars_label_is_its_orientation_and_plain_pictures_have_a_class_of_their_own(side):
    x, labels = drawn(Bars(side))
    pictures = x.reshape(-1, side, side)
    across, upright = (pictures == pictures[:, :, :1]).all((1, 2)), (pictures == pictures[:, :1]).all((1, 2))
    expected = np.select([across & upright, across, upright], [2, 0, 1], -1)
    assert np.array_equal(labels, expected)
    assert (labels == 2).mean() == pytest.approx(2.0 ** (1 - side), abs=0.02)
    assert (labels == 0).mean() == pytest.approx((1 - 2.0 ** (1 - side)) / 2, abs=0.02)


def test_the_ising_model_is_the_boltzmann_machine_of_its_couplings():
    known = world_strokes.describe(pattern="ising")[1]
    model = Boltzmann(visible=16)
    couplings = torch.tensor(known["couplings"])
    rows, columns = torch.triu_indices(16, 16, 1)
    with torch.no_grad():
        model.upper.copy_(couplings[rows, columns])
        model.fields.copy_(torch.tensor(known["fields"]))
        assert torch.equal(model.couplings, couplings)
        states = every_state(16)[::97]
        log_shares = -model.energy(torch.from_numpy(states).float()) - log_partition(model)
        assert float(log_partition(model)) == pytest.approx(known["log_partition"], abs=1e-4)
    assert Ising(4).log_density(states) == pytest.approx(log_shares.numpy(), abs=1e-4)


def test_the_pairs_of_ising_draws_correlate_as_their_density_says():
    model = Ising(4)
    spins, states = 2.0 * drawn(model)[0] - 1, 2.0 * model.states - 1
    expected = (states * model.shares[:, None]).T @ states
    assert np.abs(spins.T @ spins / DRAWS - expected).max() < 5 / math.sqrt(DRAWS)
    near = model.couplings != 0
    mean = model.shares @ states
    correlations = (expected - np.outer(mean, mean)) / np.sqrt(np.outer(1 - mean**2, 1 - mean**2))
    assert np.array_equal(np.sign(correlations[near]), np.sign(model.couplings[near]))
    assert 0.15 < np.abs(correlations[near]).min() < np.abs(correlations[near]).max() < 0.6


def test_only_neighbours_on_the_lattice_are_coupled_without_wrap_around():
    couplings = Ising(4, 1.0).couplings
    assert np.array_equal(couplings, couplings.T)
    assert (couplings != 0).sum() == 2 * 24
    assert couplings[0, 1] == RIGHT[0][0]
    assert couplings[5, 9] == DOWN[1][1]
    assert couplings[3, 4] == couplings[0, 12] == 0
    assert np.array_equal(Ising(4, 0.2).couplings, 0.2 * couplings)
    assert np.array_equal(Ising(2, 1.0).couplings, couplings[np.ix_([0, 1, 4, 5], [0, 1, 4, 5])])


def test_without_couplings_ising_pixels_are_independent():
    model = Ising(3, 0.0)
    assert model.mean() == pytest.approx(1 / (1 + np.exp(-2 * model.fields)))
    assert model.log_partition == pytest.approx(np.log(2 * np.cosh(model.fields)).sum())


def test_the_density_of_silhouettes_is_that_of_a_loop_over_templates():
    model = Silhouettes(6, 0.1)
    x, _ = drawn(model, count=5)
    classes, places, pixels = model.templates.shape
    assert (classes, places, pixels) == (8, 9, 36)
    for row, found in zip(x, model.log_density(x), strict=True):
        total = 0.0
        for own in model.templates:
            for template in own:
                product = 1.0
                for pixel, true in zip(row, template, strict=True):
                    product *= 0.9 if pixel == true else 0.1
                total += product / (classes * places)
        assert found == pytest.approx(math.log(total))


def test_a_template_s_own_probability_by_hand():
    """At side 4 there is one template a class; the disc lacks 4 pixels of the square, and so on for the others."""
    apart = [4, 0, *(int((shapes(4)["disc"] != shapes(4)[name]).sum()) for name in list(shapes(4))[2:])]
    disc = picture(".##. #### #### .##.")
    expected = math.log(sum(0.02**n * 0.98 ** (16 - n) for n in apart) / 8)
    assert Silhouettes(4).log_density(disc)[0] == pytest.approx(expected)


def test_what_is_done_in_pieces_is_what_is_done_at_once(monkeypatch):
    model = Silhouettes(8)
    x, _ = drawn(model, count=50)
    whole = model.log_density(x)
    monkeypatch.setattr("ssl_models.datasets._world_strokes.silhouettes.NUMBERS", 400 * 7)
    assert np.array_equal(whole, model.log_density(x))


@pytest.mark.parametrize("side", [4, 5, 6, 8, 12])
def test_templates_of_two_classes_differ_in_at_least_4_pixels_and_none_is_there_twice(side):
    templates = Silhouettes(side).templates
    flat = templates.reshape(-1, side * side).astype(int)
    assert len(np.unique(flat, axis=0)) == len(flat)
    apart = flat.sum(1)[:, None] + flat.sum(1) - 2 * flat @ flat.T
    classes = np.repeat(np.arange(8), templates.shape[1])
    assert apart[classes[:, None] != classes].min() >= 4


@pytest.mark.parametrize(("noise", "least", "most"), [(0.02, 0.996, 0.9995), (0.05, 0.985, 0.995)])
def test_the_true_posterior_tells_the_class_of_nearly_all_silhouettes(noise, least, most):
    model = Silhouettes(8, noise)
    x, labels = drawn(model)
    assert least < (model.class_log_densities(x).argmax(1) == labels).mean() < most
    assert np.bincount(labels) / DRAWS == pytest.approx(np.full(8, 1 / 8), abs=0.015)


@pytest.mark.parametrize("pattern", ["bars", "ising", "silhouettes"])
def test_what_is_loaded_is_binary_and_its_truth_is_the_density_of_what_is_stored(pattern):
    data = world_strokes.load(seed=3, pattern=pattern, train=300, test=200)
    shapes_, known = world_strokes.describe(seed=7, pattern=pattern)
    assert data.known == known == json.loads(json.dumps(known))
    side = known["grid"][0]
    own = {"bars": Bars(4), "ising": Ising(4), "silhouettes": Silhouettes(8)}[pattern]
    assert world_strokes.count(pattern=pattern, train=300, test=200) == (len(data.train), len(data.test)) == (300, 200)
    for split in (data.train, data.test):
        vectors, truth = split.parts["vectors"], split.truth["log_density"]
        assert vectors.dtype == truth.dtype == torch.float32
        assert vectors.shape[1:] == shapes_["vectors"] == (side * side,)
        assert set(vectors.unique().tolist()) == {0.0, 1.0}
        assert truth.numpy() == pytest.approx(own.log_density(vectors.numpy()), abs=1e-5)
        assert (split.labels is None) == (pattern == "ising")
        assert data.classes == own.classes
    assert known["binary"] is True
    mean = np.array(known["mean"])
    assert known["deviation"] == pytest.approx(np.sqrt(mean * (1 - mean)))


@pytest.mark.parametrize("pattern", ["bars", "ising", "silhouettes"])
def test_a_seed_gives_the_same_bytes_and_seeds_and_splits_differ(pattern):
    def vectors(seed, split="train"):
        data = world_strokes.load(seed=seed, pattern=pattern, train=64, test=64)
        return getattr(data, split).parts["vectors"].numpy().tobytes()

    assert vectors(0) == vectors(0)
    assert len({vectors(0), vectors(1), vectors(0, "test"), vectors(1, "test")}) == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pattern": "stripes"}, "pattern is 'stripes'; choose one of bars, ising, silhouettes"),
        ({"seed": -1}, "seed is -1; it must not be negative"),
        ({"train": 0}, "train is 0; it must be at least 1 sample"),
        ({"test": 0}, "test is 0; it must be at least 1 sample"),
        ({"pattern": "bars", "side": 1}, "side is 1 pixels; of the pattern 'bars' it must be 2 to 8"),
        ({"pattern": "bars", "side": 9}, "side is 9 pixels; of the pattern 'bars' it must be 2 to 8"),
        ({"pattern": "ising", "side": 5}, "side is 5 pixels; of the pattern 'ising' it must be 2 to 4, for all 2"),
        ({"side": 3}, "side is 3 pixels; of the pattern 'silhouettes' it must be 4 to 16"),
        ({"pattern": "ising", "coupling": -0.1}, "coupling is -0.1; it must be 0 to 2"),
        ({"pattern": "ising", "coupling": math.nan}, "coupling is nan; it must be 0 to 2"),
        ({"noise": 0.0}, "noise is 0.0; it must lie between 0 and 0.5, both excluded"),
        ({"noise": 0.5}, "noise is 0.5; it must lie between 0 and 0.5, both excluded"),
        ({"coupling": 0.4}, "coupling is 0.4, and the pattern 'silhouettes' has none; .*choose the pattern 'ising'"),
        ({"pattern": "bars", "noise": 0.1}, "noise is 0.1, and the pattern 'bars' has none"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings, words):
    for ask in (world_strokes.load, world_strokes.count, world_strokes.describe):
        with pytest.raises(ValueError, match=f"world_strokes {words}"):
            ask(**({"seed": 0} | settings))
