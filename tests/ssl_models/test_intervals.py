import numpy as np
import pytest

from ssl_models.protocols._common.intervals import accuracies, bootstrap, proportion, wilson


def test_wilson_equals_a_published_value():
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_wilson_is_symmetric_and_keeps_its_width_at_the_ends():
    low, high = wilson(50, 50)
    assert high == 1.0
    assert (1 - high, 1 - low) == pytest.approx(wilson(0, 50))
    assert low < 0.95


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_wilson_covers_the_truth_in_95_percent_of_repetitions(share):
    hits = np.random.default_rng(0).binomial(200, share, size=2000)
    covered = [low <= share <= high for low, high in (wilson(int(count), 200) for count in hits)]
    assert 0.93 <= np.mean(covered) <= 0.975


def test_accuracies_by_hand():
    scores = np.array([[6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]])
    top1, top5 = accuracies("res2", scores, np.array([0, 4, 5]))
    assert (top1.layer, top1.metric, top1.value) == ("res2", "top1", pytest.approx(1 / 3))
    assert (top5.metric, top5.value) == ("top5", pytest.approx(2 / 3))
    assert top1.low < top1.value < top1.high


def test_top5_is_left_out_where_it_would_be_one_for_anything():
    assert [score.metric for score in accuracies("pooled", np.eye(5), np.arange(5))] == ["top1"]


def test_equal_scores_name_one_class():
    top1, top5 = accuracies("pooled", np.zeros((60, 6)), np.arange(60) % 6)
    assert (top1.value, top5.value) == pytest.approx((1 / 6, 5 / 6))


def test_proportion_counts():
    score = proportion("", "recall", np.array([True, False, True, True]))
    assert score.value == 0.75
    assert (score.low, score.high) == wilson(3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(3, 2), "3 hits of 2 trials"),
        (lambda: wilson(0, 0), "at least one trial"),
        (lambda: wilson(1, 2, confidence=1.0), "confidence = 1.0"),
        (lambda: accuracies("res2", np.full((2, 3), np.nan), np.zeros(2)), "res2"),
        (lambda: accuracies("res2", np.zeros((2, 3)), np.zeros(4)), "2 test samples and 4 test labels"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_bootstrap_of_a_mean_is_the_normal_interval():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap(lambda rows: float(values[rows].mean()), 400, seed=0)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert (low, high) == bootstrap(lambda rows: float(values[rows].mean()), 400, seed=0)


def test_the_bootstrap_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        values = draws.exponential(size=60)
        low, high = bootstrap(lambda rows, values=values: float(values[rows].mean()), 60, seed=trial, resamples=300)
        held += low <= 1 <= high
    assert 0.88 < held / 200 < 0.98


def test_the_bootstrap_holds_its_number_and_refuses_what_has_none():
    assert bootstrap(lambda _: 0.5, 3, seed=0) == (0.5, 0.5)
    low, high = bootstrap(lambda rows: float(len(set(rows))), 10, seed=0)
    assert low < high == 10
    with pytest.raises(ValueError, match="0 units"):
        bootstrap(lambda _: 0.5, 0, seed=0)
    with pytest.raises(ValueError, match="not finite"):
        bootstrap(lambda _: float("nan"), 3, seed=0)
