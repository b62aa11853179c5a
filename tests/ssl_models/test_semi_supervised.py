from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import t as student

from ssl_models.errors import NeedsLabels, NeedsSamples
from ssl_models.protocols import semi_supervised
from ssl_models.protocols._common.intervals import accuracies, wilson
from ssl_models.protocols._common.score import Representation
from ssl_models.protocols.semi_supervised import balanced_draw, interval
from tests.ssl_models.test_finetune import CLASSES, TEST, TRAIN, Deaf, Told, easy, given, in_turn, of_world, plain

SHORT = {"fractions": [0.5, 0.1], "draws": 2, "steps": 6, "batch_size": 20}
LONG = {"fractions": [0.5], "steps": 40, "learning_rate": 0.05}


def evaluated(representation, seed=0, **settings):
    return semi_supervised.evaluate(representation, seed=seed, **{**SHORT, **settings}).scores


def draw(labels, fraction, seed=0):
    return balanced_draw(labels, fraction, np.random.default_rng(seed))


def told(train_labels=None, test_labels=None, **how):
    return given(Told, plain(in_turn(TRAIN)), plain(in_turn(TEST)), train_labels, test_labels, **how)


@pytest.fixture
def trainings(monkeypatch):
    """Each training that is asked for, as (rows, labels, recipe, seed), none of it done: noise answers."""
    asked = []

    def answer(representation, rows, labels, recipe, *, seed):
        asked.append((rows, labels, recipe, seed))
        return np.random.default_rng(len(asked)).normal(size=(len(representation.labels("test")), CLASSES))

    monkeypatch.setattr(semi_supervised, "class_scores", answer)
    return asked


def test_an_oracle_scores_one():
    scores = evaluated(told())
    assert [(score.layer, score.metric, score.value) for score in scores] == [
        ("", "top1_at_50", 1.0),
        ("", "top5_at_50", 1.0),
        ("", "top1_at_10", 1.0),
        ("", "top5_at_10", 1.0),
    ]
    assert all((score.low, score.high) == wilson(TEST, TEST) for score in scores)


def test_a_constant_scores_chance():
    scores = evaluated(given(Deaf, plain(in_turn(TRAIN)), plain(in_turn(TEST))))
    assert [score.value for score in scores] == pytest.approx([1 / CLASSES, 5 / CLASSES] * 2)


def test_shuffled_truth_scores_chance():
    shuffled = np.random.default_rng(0).permutation(in_turn(TRAIN))
    (top1, _), (known, _) = (evaluated(easy(train_labels=labels), **LONG) for labels in (shuffled, None))
    assert top1.value == pytest.approx(1 / CLASSES, abs=0.1)
    assert known.value > top1.high  # as it is, there is something to learn


def test_same_seed_same_numbers():
    first, again, other = (evaluated(easy(), seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_order_of_samples_does_not_matter():
    rows, test_rows = (np.random.default_rng(2).permutation(samples) for samples in (TRAIN, TEST))
    here = easy()
    moved = given(
        here.encoder,
        here.images("train")[rows],
        here.images("test")[test_rows],
        here.labels("train")[rows],
        here.labels("test")[test_rows],
    )
    expected, found = (evaluated(one, **LONG)[0] for one in (here, moved))
    # Other samples are drawn, as with another seed, so that the two may differ as the intervals say.
    assert expected.low < found.value < expected.high
    assert found.value == pytest.approx(expected.value, abs=0.15)


def test_missing_truth_is_told():
    def none(split):
        raise NeedsLabels(f"the {split} split has no labels")

    with pytest.raises(NeedsLabels, match="the train split has no labels"):
        semi_supervised.evaluate(Representation(("pooled",), lambda *_: None, none, CLASSES), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fractions": []}, r"fractions = \[\] must be a list of at least one number"),
        ({"fractions": [0.1, 0.0]}, r"fractions = \[0.1, 0.0\] must be numbers above 0 and at most 1"),
        ({"fractions": [10]}, r"fractions = \[10\] must be numbers above 0 and at most 1"),
        ({"fractions": [float("nan")]}, r"fractions = \[nan\] must be numbers"),
        ({"fractions": ["all"]}, r"fractions = \['all'\] must be numbers"),
        ({"fractions": [0.1, 0.1]}, r"fractions = \[0.1, 0.1\] must all be different"),
        ({"draws": 1}, "draws = 1 must be at least 2"),
        ({"steps": 0}, "steps = 0 must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"learning_rate": -1.0}, "learning_rate -1.0 must be over 0"),
        ({"optimizer": "adam"}, "optimizer 'adam' is unknown"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"flip": 1.5}, "flip is 1.5"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    unread = Representation(("pooled",), None, lambda _: pytest.fail("labels were read first"), CLASSES)
    with pytest.raises(ValueError, match=message):
        semi_supervised.evaluate(unread, seed=0, **settings)
    with pytest.raises(ValueError, match=message):
        semi_supervised.refuse(**settings)


def test_good_settings_are_not_refused():
    semi_supervised.refuse()
    semi_supervised.refuse(fractions=[1, 0.001], draws=2)


def test_fewer_labels_than_classes_are_refused_before_anything_is_trained(trainings):
    message = "fractions: 0.01 of 240 training samples is 2 for 6 classes; 0.025 or more gives each at least one"
    with pytest.raises(NeedsSamples, match=message):
        evaluated(told(), fractions=[0.5, 0.01])
    assert not trainings
    evaluated(told(), fractions=[0.025])  # what was advised will do
    assert np.bincount(trainings[0][1]).tolist() == [1] * CLASSES


def test_a_class_that_training_never_shows_is_told(trainings):
    few = np.minimum(in_turn(TRAIN), 3)
    with pytest.raises(ValueError, match="no training sample shows class 4, class 5"):
        evaluated(told(few))
    assert not trainings
    evaluated(told(few, np.minimum(in_turn(TEST), 3)))
    assert set(trainings[0][1]) == {0, 1, 2, 3}


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 10), (0.1, 100), (0.25, 250), (1.0, 1000)])
def test_a_draw_holds_as_many_of_each_class(fraction, count):
    labels = np.random.default_rng(1).permutation(np.arange(1000) % 5)
    rows = draw(labels, fraction)
    assert np.bincount(labels[rows], minlength=5).tolist() == [count / 5] * 5
    assert len(np.unique(rows)) == len(rows) == count
    assert (np.diff(rows) > 0).all()


def test_what_cannot_be_divided_differs_by_one_and_by_the_draw():
    labels = np.arange(8192) % 12
    counts = np.array([np.bincount(labels[draw(labels, 0.01, seed)], minlength=12) for seed in range(200)])
    assert (counts.sum(1) == 82).all()
    assert set(counts.flatten()) == {6, 7}
    assert (np.abs((counts == 7).mean(0) - 10 / 12) < 0.1).all()  # four deviations of 0.026


def test_a_rare_class_gives_all_it_has():
    labels = np.repeat([0, 1, 2], [3, 100, 100])
    assert np.bincount(labels[draw(labels, 21 / 203)]).tolist() == [3, 9, 9]
    assert len(draw(labels, 1.0)) == 203


def test_other_draws_differ_and_a_smaller_one_is_part_of_a_larger():
    labels = np.random.default_rng(1).permutation(np.arange(1000) % 5)
    assert (draw(labels, 0.1) == draw(labels, 0.1)).all()
    assert len(np.intersect1d(draw(labels, 0.1), draw(labels, 0.1, seed=1))) < 30  # 10 are expected
    assert set(draw(labels, 0.013)) < set(draw(labels, 0.1)) < set(draw(labels, 0.31))


def test_every_sample_of_a_class_is_as_likely():
    labels = np.repeat([0, 1], [10, 40])
    chosen = np.zeros(50)
    for seed in range(2000):
        chosen[draw(labels, 0.2, seed)] += 1
    assert chosen.sum() == 20000
    assert np.abs(chosen[:10] / 2000 - 0.5).max() < 0.045  # four deviations of 0.011
    assert np.abs(chosen[10:] / 2000 - 0.125).max() < 0.03  # four deviations of 0.0074


def test_a_draw_has_a_training_of_its_own_on_its_rows_for_the_steps_asked_for(trainings):
    evaluated(easy(), fractions=[0.5, 0.05], draws=3, steps=14, batch_size=50)
    assert [len(rows) for rows, *_ in trainings] == [120] * 3 + [12] * 3
    assert [recipe.batch_size for _, _, recipe, _ in trainings] == [50] * 3 + [12] * 3
    assert [recipe.epochs for _, _, recipe, _ in trainings] == [7] * 3 + [14] * 3  # of 2 steps and of 1
    assert all((labels == in_turn(TRAIN)[rows]).all() for rows, labels, *_ in trainings)
    assert len({rows.tobytes() for rows, *_ in trainings}) == 6
    assert len({seed for *_, seed in trainings[:3]}) == 3
    for large, small in zip(trainings[:3], trainings[3:], strict=True):
        assert set(small[0]) < set(large[0])


def test_draws_are_the_same_for_every_encoder_and_others_for_another_seed(trainings):
    for encoder, seed in ((Told, 0), (Deaf, 0), (Told, 1)):
        evaluated(easy(encoder), seed, fractions=[0.1])
    first, second, third = ([rows.tolist() for rows, *_ in trainings[i : i + 2]] for i in (0, 2, 4))
    assert first == second
    assert not [rows for rows in third if rows in first]


def test_a_value_is_the_mean_over_draws(trainings):
    labels = in_turn(TEST)
    scores = evaluated(easy(), fractions=[0.005 * 6, 0.1])
    assert [score.metric for score in scores] == ["top1_at_3", "top5_at_3", "top1_at_10", "top5_at_10"]
    each = [accuracies("", np.random.default_rng(1 + i).normal(size=(TEST, CLASSES)), labels) for i in range(4)]
    for position, score in enumerate(scores):
        of_fraction = each[:2] if position < 2 else each[2:]
        assert score.value == pytest.approx(np.mean([found[position % 2].value for found in of_fraction]))
        assert score.low < score.value < score.high
    assert len(trainings) == 4


def test_a_fraction_of_a_per_cent_has_no_point_in_its_name(trainings):
    labels, test_labels = in_turn(2400), in_turn(TEST)
    scores = evaluated(given(Told, plain(labels), plain(test_labels)), fractions=[0.005])
    assert scores[0].metric == "top1_at_0_5"
    assert len(trainings[0][0]) == 12


def test_top5_is_left_out_where_it_would_be_one_for_anything():
    few, few_test = in_turn(TRAIN) % 3, in_turn(TEST) % 3
    scores = evaluated(given(Told, plain(few), plain(few_test), few, few_test, classes=5), fractions=[0.5])
    assert [score.metric for score in scores] == ["top1_at_50"]


def test_the_interval_by_hand():
    # Means of the draws .5 and .75: variance 1/32, so A / D = 1/64. Means of the images 1, 1, .5, 0: 11/48 / 4.
    hits = np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool)
    variance = 1 / 64 + 11 / 192
    freedom = variance**2 / ((1 / 64) ** 2 / 1 + (11 / 192) ** 2 / 3)
    trials = 0.625 * 0.375 / variance
    # Wilson's ends are where the distance to p is the quantile times the deviation that they would have.
    for end in interval(hits):
        deviation = np.sqrt(end * (1 - end) / trials)
        assert abs(end - 0.625) / deviation == pytest.approx(student.ppf(0.975, freedom))


def test_draws_that_agree_leave_the_interval_of_the_images():
    hits = np.random.default_rng(0).random(400) < 0.7
    assert interval(np.stack([hits] * 3)) == pytest.approx(wilson(int(hits.sum()), 400), abs=2e-3)
    assert interval(np.ones((3, 50), bool)) == wilson(50, 50)
    assert interval(np.zeros((3, 50), bool)) == wilson(0, 50)


def test_draws_that_differ_much_leave_the_interval_of_three_numbers():
    shares = [0.4, 0.5, 0.6]
    hits = np.stack([np.random.default_rng(i).permutation(100000) < share * 100000 for i, share in enumerate(shares)])
    half = student.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    # Wilson's, drawn in to the middle a little by 1 + quantile^2 / trials.
    assert interval(hits) == pytest.approx((0.5 - half, 0.5 + half), abs=0.03)


@pytest.mark.parametrize(
    ("of_draw", "of_image", "of_neither", "threshold"),
    [(0.05, 1, 1, 0.0), (0.3, 1, 1, 0.0), (1, 1, 1, 0.0), (0, 1, 0.3, 0.0), (0, 0.3, 1, 0.0), (0.1, 1, 1, -1.9)],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(of_draw, of_image, of_neither, threshold):
    """An image is hit where the sum of three normal draws is over a threshold: the truth is a normal integral."""
    draws, total = np.random.default_rng(0), np.sqrt(of_draw**2 + of_image**2 + of_neither**2)
    truth, covered = 1 - NormalDist().cdf(threshold / total), 0
    for _ in range(600):
        parts = of_draw * draws.normal(size=(3, 1)) + of_image * draws.normal(size=200)
        low, high = interval(parts + of_neither * draws.normal(size=(3, 200)) > threshold)
        covered += low <= truth <= high
    assert 0.91 < covered / 600 <= 0.995


def test_an_interval_of_one_draw_or_image_is_refused():
    with pytest.raises(ValueError, match="1 draws and 5 test samples"):
        interval(np.ones((1, 5), bool))
    with pytest.raises(ValueError, match="2 draws and 1 test samples"):
        interval(np.ones((2, 1), bool))


def test_on_the_world_a_trained_start_beats_an_untrained_one():
    trained, untrained = (
        evaluated(representation, fractions=[0.5], draws=3, steps=24, learning_rate=0.01)[0]
        for representation in of_world(480, 240)
    )
    assert trained.low > untrained.high
