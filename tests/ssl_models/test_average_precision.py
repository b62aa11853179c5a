import warnings

import numpy as np
import pytest

from ssl_models.protocols._voc_map.average_precision import (
    FORMS,
    average_precision,
    curve,
    mean_average_precision,
    rank,
    thinned,
)

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
PRESENT = np.array([1, 0, 1, 0, 1])


def random_ranking(seed, samples=200, values=40):
    """Scores with many ties, and about a third of positives that score a little higher."""
    draws = np.random.default_rng(seed)
    present = (draws.random(samples) < 0.3).astype(np.int8)
    return np.round(draws.normal(size=samples) * values / 4 + 4 * present), present


def naive(scores, present, form):
    """From the definitions: for every threshold, who is above it."""
    kept = [(float(s), int(p)) for s, p in zip(scores, present, strict=True) if p >= 0]
    positives = sum(p for _, p in kept)
    points = []
    for threshold in sorted({s for s, _ in kept}, reverse=True):
        above = [p for s, p in kept if s >= threshold]
        points.append((sum(above), sum(above) / len(above)))  # hits, precision
    if form == "voc07":
        best = [max(p for hits, p in points if 10 * hits >= tenth * positives) for tenth in range(11)]
        return sum(best) / 11
    total, before = 0.0, 0
    for n, (hits, precision) in enumerate(points):
        height = precision if form == "area" else max(p for _, p in points[n:])
        total += (hits - before) / positives * height
        before = hits
    return total


def test_by_hand():
    # Precision 1, 1/2, 2/3, 1/2, 3/5 at recall 1/3, 1/3, 2/3, 2/3, 1.
    assert average_precision(SCORES, PRESENT) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(SCORES, PRESENT, form="voc10") == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Recall 0 to .3: 1; .4 to .6: 2/3; .7 to 1: 3/5.
    assert average_precision(SCORES, PRESENT, form="voc07") == pytest.approx((4 + 3 * 2 / 3 + 4 * 3 / 5) / 11)


def test_the_interpolated_forms_look_to_the_right():
    present = np.array([0, 1, 1])  # precision 0, 1/2, 2/3 at recall 0, 1/2, 1
    scores = np.array([3.0, 2.0, 1.0])
    assert average_precision(scores, present) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision(scores, present, form="voc10") == pytest.approx(2 / 3)
    assert average_precision(scores, present, form="voc07") == pytest.approx(2 / 3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_naive_loop(form, seed):
    scores, present = random_ranking(seed)
    present[:20] = -1
    assert average_precision(scores, present, form=form) == pytest.approx(naive(scores, present, form))


@pytest.mark.parametrize("positives", [10, 20, 30])
def test_tenths_of_recall_are_met_exactly(positives):
    """Where recall is a tenth to the last digit, rounding must not take it for less."""
    present = np.tile([1, 0], positives)
    scores = -np.arange(2.0 * positives)
    assert average_precision(scores, present, form="voc07") == pytest.approx(naive(scores, present, "voc07"), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(seed):
    from sklearn.metrics import average_precision_score, precision_recall_curve

    scores, present = random_ranking(seed)
    assert average_precision(scores, present) == pytest.approx(average_precision_score(present, scores), abs=1e-12)
    precision, recall, _ = precision_recall_curve(present, scores)  # from the lowest score up, and the point (0, 1)
    own = curve(rank(scores, present))
    assert np.allclose(own[0], recall[:-1][::-1])
    assert np.allclose(own[1], precision[:-1][::-1])


@pytest.mark.parametrize("form", FORMS)
def test_ends_of_the_scale(form):
    present = np.array([1, 1, 0, 0, 0, 0, 0, 0])
    assert average_precision(present * 2.0, present, form=form) == 1
    assert average_precision(np.zeros(8), present, form=form) == pytest.approx(1 / 4), "ties: the share of positives"
    assert np.isnan(average_precision(np.zeros(8), np.zeros(8), form=form))
    assert np.isnan(average_precision(np.zeros(0), np.zeros(0), form=form))


@pytest.mark.parametrize("form", FORMS)
def test_ignored_entries_are_as_if_they_were_not_there(form):
    scores, present = random_ranking(0)
    present[::7] = -1
    kept = present >= 0
    assert average_precision(scores, present, form=form) == average_precision(scores[kept], present[kept], form=form)


@pytest.mark.parametrize("form", FORMS)
def test_order_of_samples_and_scale_of_scores_do_not_matter(form):
    scores, present = random_ranking(1)
    moved = np.random.default_rng(0).permutation(len(scores))
    expected = average_precision(scores, present, form=form)
    assert average_precision(scores[moved], present[moved], form=form) == expected
    assert average_precision(np.arctan(scores / 10), present, form=form) == expected


@pytest.mark.parametrize("form", FORMS)
def test_counts_are_samples_written_more_than_once(form):
    scores, present = random_ranking(2)
    present[:15] = -1
    units = np.random.default_rng(1).integers(len(scores), size=len(scores))
    counted = mean_average_precision([rank(scores, present)], np.bincount(units, minlength=len(scores)), form=form)
    assert counted == pytest.approx(average_precision(scores[units], present[units], form=form))


def test_the_mean_is_over_classes_that_have_a_positive():
    rankings = [rank(SCORES, PRESENT), rank(SCORES, 1 - PRESENT), rank(SCORES, 0 * PRESENT)]
    expected = (average_precision(SCORES, PRESENT) + average_precision(SCORES, 1 - PRESENT)) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_average_precision(rankings) == pytest.approx(expected)
        assert np.isnan(mean_average_precision(rankings[2:]))


def test_a_thinned_curve_keeps_its_ends():
    recall, precision = curve(rank(*random_ranking(3, samples=2000, values=4000)))
    few = thinned(recall, precision, 100)
    assert len(few[0]) == len(few[1]) == 100 < len(recall)
    assert (few[0][0], few[1][0], few[0][-1], few[1][-1]) == (recall[0], precision[0], recall[-1], precision[-1])
    assert (np.diff(few[0]) >= 0).all()
    assert len(thinned(recall[:7], precision[:7], 100)[0]) == 7


@pytest.mark.parametrize(
    ("scores", "present", "form", "message"),
    [
        (SCORES, PRESENT, "coco", "form = 'coco' must be one of area, voc07, voc10"),
        (SCORES * np.nan, PRESENT, "area", "not finite"),
        (SCORES, PRESENT[1:], "area", "one for each"),
    ],
)
def test_refusals(scores, present, form, message):
    with pytest.raises(ValueError, match=message):
        average_precision(scores, present, form=form)
