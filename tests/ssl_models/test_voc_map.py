import warnings

import numpy as np
import pytest

from ssl_models.errors import NeedsLabels, NeedsTruth
from ssl_models.protocols import voc_map
from ssl_models.protocols._common.score import Representation

CLASSES, TRAIN, TEST = 4, 240, 160


def shown(samples, seed):
    """(N, K) int8: each class in two fifths of the pictures, one entry in twenty to be ignored."""
    draws = np.random.default_rng(seed)
    table = (draws.random((samples, CLASSES)) < 0.4).astype(np.int8)
    table[draws.random(table.shape) < 0.05] = -1
    return table


def noisy(table, seed, noise=1.0):
    draws = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(CLASSES, 10))
    return (table > 0) @ mixing + noise * draws.normal(size=(len(table), 10))


def representation(features, truth=None, labels=None, layers=("pooled",), classes=CLASSES):
    def none(split, *_):
        raise (NeedsTruth if truth is None and labels is not None else NeedsLabels)(f"the {split} split has none")

    stored = {split: rows.astype(np.float16) for split, rows in features.items()}
    return Representation(
        layers,
        lambda split, _layer: stored[split],
        none if labels is None else labels.__getitem__,
        classes,
        truth=none if truth is None else lambda split, kind: {"present": truth[split]}[kind],
    )


@pytest.fixture(scope="module")
def problem():
    truth = {"train": shown(TRAIN, 0), "test": shown(TEST, 1)}
    return {"train": noisy(truth["train"], 2), "test": noisy(truth["test"], 3)}, truth


def headline(given, **settings):
    return voc_map.evaluate(given, seed=0, **settings).scores[0]


def test_map_equals_scikit_learn(problem):
    """Cross-validation, fit and average precision by other code, on the same folds."""
    from sklearn.metrics import average_precision_score
    from sklearn.svm import LinearSVC

    features, truth = problem
    unit = {split: rows.astype(np.float16).astype(float) for split, rows in features.items()}
    unit = {split: rows / np.linalg.norm(rows, axis=1, keepdims=True) for split, rows in unit.items()}
    found = []
    for k in range(CLASSES):
        known, parts = truth["train"][:, k], voc_map._parts(truth["train"][:, k], 3, [0, k])

        def scored(cost, kept, asked, known=known):
            svm = LinearSVC(C=cost, class_weight={1: 2, 0: 1}, dual=False, tol=1e-6, max_iter=5000)
            return svm.fit(unit["train"][kept], known[kept]).decision_function(asked)

        def validated(cost, known=known, parts=parts, scored=scored):
            inside = [(known >= 0) & (parts == fold) for fold in range(3)]
            return np.mean(
                [
                    average_precision_score(known[part], scored(cost, (known >= 0) & ~part, unit["train"][part]))
                    for part in inside
                ]
            )

        best = max([0.01, 1.0, 100.0], key=validated)
        counted = truth["test"][:, k] >= 0
        answers = scored(best, known >= 0, unit["test"][counted])
        found.append(average_precision_score(truth["test"][counted, k], answers))
    given = representation(features, truth)
    assert headline(given, costs=[0.01, 1.0, 100.0]).value == pytest.approx(np.mean(found), abs=0.003)


def test_folds_are_stratified(problem):
    present = problem[1]["train"][:, 0]
    parts = voc_map._parts(present, 3, [0, 0])
    for value in (0, 1):
        counts = np.bincount(parts[present == value], minlength=3)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("form", ["area", "voc07", "voc10"])
def test_an_oracle_scores_one(form):
    truth = {"train": shown(TRAIN, 0), "test": shown(TEST, 1)}
    oracle = {split: (table > 0).astype(float) for split, table in truth.items()}
    score = headline(representation(oracle, truth), form=form)
    assert (score.metric, score.layer) == ("map", "pooled")
    assert score.value == score.low == score.high == 1


@pytest.mark.parametrize("width", [1, 4, 33])
@pytest.mark.parametrize("form", ["area", "voc07", "voc10"])
def test_a_constant_scores_chance(form, width):
    """The share of positives among those that count, a class at a time."""
    truth = {"train": shown(TRAIN, 0), "test": shown(TEST, 1)}
    constant = {split: np.full((len(table), width), 0.3) for split, table in truth.items()}
    counted = [column[column >= 0].mean() for column in truth["test"].T]
    assert headline(representation(constant, truth), form=form).value == pytest.approx(np.mean(counted))


def test_shuffled_truth_scores_chance(problem):
    features, truth = problem
    shuffled = {**truth, "train": np.random.default_rng(0).permutation(truth["train"])}
    counted = [column[column >= 0].mean() for column in truth["test"].T]
    assert headline(representation(features, shuffled)).value == pytest.approx(np.mean(counted), abs=0.1)
    assert headline(representation(features, truth)).value > np.mean(counted) + 0.25


def test_same_seed_same_numbers(problem):
    given = representation(*problem)
    assert voc_map.evaluate(given, seed=3) == voc_map.evaluate(given, seed=3)


def test_the_order_of_samples_does_not_matter(problem):
    features, truth = problem
    expected = headline(representation(features, truth), costs=[1.0])
    order = {split: np.random.default_rng(5).permutation(len(table)) for split, table in truth.items()}
    moved = [{split: table[order[split]] for split, table in part.items()} for part in problem]
    # With one cost the folds choose nothing; rounding may turn a pair.
    assert headline(representation(*moved), costs=[1.0]).value == pytest.approx(expected.value, abs=1e-3)
    # With several, other folds may choose another cost.
    several = headline(representation(features, truth)).value
    assert headline(representation(*moved)).value == pytest.approx(several, abs=0.02)


def test_the_length_of_a_feature_does_not_matter(problem):
    features, truth = problem
    lengths = np.random.default_rng(6).uniform(0.1, 10, size=(TRAIN, 1))
    stretched = {**features, "train": features["train"] * lengths}
    expected = headline(representation(features, truth), costs=[1.0]).value
    assert headline(representation(stretched, truth), costs=[1.0]).value == pytest.approx(expected, abs=2e-3)


def test_labels_stand_in_for_missing_truth():
    labels = {"train": np.arange(TRAIN) % CLASSES, "test": np.arange(TEST) % CLASSES}
    truth = {split: (own[:, None] == np.arange(CLASSES)).astype(np.int8) for split, own in labels.items()}
    features = {split: noisy(table, 7) for split, table in truth.items()}
    by_labels = voc_map.evaluate(representation(features, None, labels), seed=0)
    assert by_labels == voc_map.evaluate(representation(features, truth), seed=0)


def test_missing_truth_is_told(problem):
    with pytest.raises(NeedsLabels):
        voc_map.evaluate(representation(problem[0]), seed=0)


def test_ignored_entries_change_nothing(problem):
    features, truth = problem
    changed = {split: rows.copy() for split, rows in features.items()}
    ignored = {split: table.copy() for split, table in truth.items()}
    for split, rows in changed.items():
        ignored[split][:12] = -1
        rows[:12] = np.random.default_rng(8).normal(size=(12, 10))
    first = headline(representation(features, ignored), costs=[1.0]).value
    assert headline(representation(changed, ignored), costs=[1.0]).value == pytest.approx(first, abs=2e-3)


def test_a_class_without_positives_is_left_out_and_told(problem):
    features, truth = problem
    lacking = {split: table.copy() for split, table in truth.items()}
    lacking["train"][:, 2] = 0
    found = voc_map.evaluate(representation(features, lacking), seed=0)
    kept = [0, 1, 3]
    fewer = {split: table[:, kept] for split, table in truth.items()}
    without = voc_map.evaluate(representation(features, fewer), seed=0, costs=[1.0])
    assert voc_map.evaluate(representation(features, lacking), seed=0, costs=[1.0]).scores == without.scores
    assert found.scores[-1].value == 3
    assert found.scores[-1].metric == "classes"
    positives = float((truth["test"][:, 2] > 0).sum())
    assert found.curves["left_out"] == {"class": [2.0], "train_positives": [0.0], "test_positives": [positives]}
    assert set(found.curves) == {"class 0", "class 1", "class 3", "left_out"}
    with pytest.raises(ValueError, match="no class is shown"):
        voc_map.evaluate(representation(features, {**truth, "train": 0 * truth["train"]}), seed=0)


def test_a_class_with_one_positive_is_fitted_without_a_warning(problem):
    features, truth = problem
    rare = {**truth, "train": truth["train"].copy()}
    rare["train"][:, 1] = 0
    rare["train"][5, 1] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = voc_map.evaluate(representation(features, rare), seed=0)
    assert found.scores[-1].value == CLASSES


def test_curves_are_those_of_the_best_layer(problem):
    features, truth = problem
    worse = {split: rows + 5 * np.random.default_rng(9).normal(size=rows.shape) for split, rows in features.items()}
    stored = {"pooled": features, "conv1": worse}
    given = Representation(
        ("conv1", "pooled"),
        lambda split, layer: stored[layer][split],
        lambda _: np.zeros(0),
        CLASSES,
        ("cat", "dog", "cow", "hen"),
        truth=lambda split, _kind: truth[split],
    )
    found = voc_map.evaluate(given, seed=0)
    assert [(score.layer, score.metric) for score in found.scores] == [
        ("conv1", "map"),
        ("pooled", "map"),
        ("", "classes"),
    ]
    assert found.curves == voc_map.evaluate(given, seed=0, layers="pooled").curves
    assert set(found.curves) == {"cat", "dog", "cow", "hen"}
    for columns in found.curves.values():
        assert len(columns["recall"]) == len(columns["precision"]) <= voc_map.POINTS
        assert columns["recall"][-1] == 1


@pytest.mark.parametrize(("nuisance", "samples", "better"), [(6.0, 240, 100.0), (0.0, 240, 1e-4)])
def test_the_cost_is_chosen_that_suits(nuisance, samples, better):
    """What varies most says nothing: high costs see past it. In noise alone: they fit it."""
    draws = np.random.default_rng(0)
    truth = {"train": shown(samples, 0), "test": shown(400, 1)}
    across, apart = draws.normal(size=(3, 60)) * nuisance, draws.normal(size=(CLASSES, 60)) * 0.2
    features = {
        split: draws.normal(size=(len(table), 3)) @ across + (table > 0) @ apart + draws.normal(size=(len(table), 60))
        for split, table in truth.items()
    }
    given = representation(features, truth)
    alone = {cost: headline(given, costs=[cost]).value for cost in (1e-4, 100.0)}
    assert alone[better] == max(alone.values()) > min(alone.values()) + 0.03
    assert headline(given, costs=[1e-4, 100.0]).value == pytest.approx(alone[better], abs=0.01)


def test_classes_in_groups_are_as_classes_at_once(problem, monkeypatch):
    given = representation(*problem)
    expected = headline(given, costs=[0.1, 10.0])
    monkeypatch.setattr(voc_map, "TOGETHER", 3)
    assert headline(given, costs=[0.1, 10.0]).value == pytest.approx(expected.value, abs=2e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "res9"}, "layers = 'res9' must name at least one of pooled"),
        ({"costs": []}, "costs = \\[\\]"),
        ({"costs": [1.0, 0.0]}, "costs = .* must be finite numbers above 0"),
        ({"folds": 1}, "folds = 1 must be at least 2"),
        ({"form": "coco"}, "form = 'coco' must be one of area, voc07, voc10"),
        ({"positive_weight": 0.0}, "positive_weight = 0.0 must be finite and above 0"),
    ],
)
def test_bad_settings_are_refused(problem, settings, message):
    with pytest.raises(ValueError, match=message):
        voc_map.evaluate(representation(*problem), seed=0, **settings)


def test_features_that_do_not_fit_are_refused(problem):
    features, truth = problem
    with pytest.raises(ValueError, match="'pooled' has test features that are not finite"):
        headline(representation({**features, "test": features["test"] * np.nan}, truth))
    with pytest.raises(ValueError, match="train features of shape"):
        headline(representation({**features, "train": features["train"][1:]}, truth))
