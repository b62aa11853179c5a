import numpy as np
import pytest
import torch

from ssl_models.errors import NeedsLabels, NoSuchLayer
from ssl_models.protocols import linear
from ssl_models.protocols._common.score import Representation
from ssl_models.protocols._linear import classifier, sgd
from ssl_models.protocols._linear.standardised import Standardised

torch.set_num_threads(1)
CLASSES = 6


def representation(features, labels, layers=("pooled",)):
    return Representation(layers, lambda split, _layer: features[split], lambda split: labels[split], CLASSES)


@pytest.fixture(scope="module")
def problem():
    """Overlapping classes in correlated features of very different scales, stored as float16."""
    draws = np.random.default_rng(0)
    centres, mixing = draws.normal(size=(CLASSES, 20)), draws.normal(size=(20, 20))
    labels = {"train": draws.integers(CLASSES, size=900), "test": draws.integers(CLASSES, size=600)}
    scales = np.geomspace(0.01, 100, 20)
    features = {
        split: ((centres[ids] + draws.normal(size=(len(ids), 20))) @ mixing * scales + 3 * scales).astype(np.float16)
        for split, ids in labels.items()
    }
    return features, labels


def standardised(features):
    rows = torch.from_numpy(features.astype(np.float32))
    return (rows - rows.mean(0)) / rows.std(0, correction=0)


@pytest.mark.parametrize("weight_decay", [0.001, 0.1])
def test_fit_equals_scikit_learn(problem, weight_decay):
    from sklearn.linear_model import LogisticRegression

    features, labels = standardised(problem[0]["train"]), problem[1]["train"]
    ids = torch.from_numpy(labels)
    weights, bias = classifier.fit(features, ids, CLASSES, weight_decay=weight_decay, iterations=200, tolerance=1e-8)
    other = LogisticRegression(C=1 / (len(labels) * weight_decay), tol=1e-8, max_iter=2000)
    other.fit(features.double().numpy(), labels)
    assert np.allclose(weights.numpy(), other.coef_, atol=3e-3)
    # The loss does not change when all biases move together.
    assert np.allclose((bias - bias.mean()).numpy(), other.intercept_ - other.intercept_.mean(), atol=3e-3)


@pytest.mark.parametrize("weight_decay", [0.001, 0.1])
def test_a_fit_that_is_reported_ends_near_the_minimum(problem, weight_decay):
    features, labels = standardised(problem[0]["train"]), torch.from_numpy(problem[1]["train"])
    best, found = (
        torch.column_stack(classifier.fit(features, labels, CLASSES, weight_decay=weight_decay, tolerance=tolerance))
        for tolerance in (1e-8, classifier.EXACT)
    )
    lowest, reached = (loss(features, labels, solution, weight_decay) for solution in (best, found))
    assert reached - lowest < 20 * classifier.EXACT
    test = standardised(problem[0]["test"])
    answers = [torch.nn.functional.linear(test, s[:, :-1], s[:, -1]).argmax(1) for s in (best, found)]
    assert (answers[0] != answers[1]).float().mean() <= 2 / 600


def test_scores_equal_scikit_learn(problem):
    from sklearn.linear_model import LogisticRegression

    features, labels = problem
    top1, top5 = linear.evaluate(representation(features, labels), seed=0, weight_decays=[0.01]).scores
    mean, deviation = (np.asarray(getattr(np, name)(features["train"].astype(float), 0)) for name in ("mean", "std"))
    train, test = ((features[split] - mean) / deviation for split in ("train", "test"))
    other = LogisticRegression(C=100 / len(train), max_iter=1000).fit(train, labels["train"])
    assert top1.value == pytest.approx(other.score(test, labels["test"]), abs=2 / 600)
    assert top1.low < top1.value < top1.high
    assert top5.value > top1.value


def test_each_layer_is_scored_in_order(problem):
    layers = ("conv1", "res2", "pooled")
    scores = linear.evaluate(representation(*problem, layers), seed=0, weight_decays=[0.1]).scores
    assert [(score.layer, score.metric) for score in scores] == [
        (layer, metric) for layer in layers for metric in ("top1", "top5")
    ]


def test_some_layers_are_scored_as_among_all_and_others_are_refused(problem):
    features, labels = problem
    given = representation(features, labels, ("a", "b", "pooled"))
    everything = linear.evaluate(given, seed=0).scores
    assert linear.evaluate(given, seed=0, layers=["b"]).scores == [s for s in everything if s.layer == "b"]
    with pytest.raises(NoSuchLayer, match="must name at least one of a, b, pooled"):
        linear.evaluate(given, seed=0, layers=["c"])


def test_scale_and_offset_of_a_layer_do_not_matter(problem):
    features, labels = problem
    moved = {split: rows.astype(np.float32) * 1000 - 5 for split, rows in features.items()}
    expected = linear.evaluate(representation(features, labels), seed=0).scores
    for score, other in zip(linear.evaluate(representation(moved, labels), seed=0).scores, expected, strict=True):
        assert score.value == pytest.approx(other.value, abs=2 / 600)


def test_the_choice_of_weight_decay_helps_where_there_are_few_samples():
    draws = np.random.default_rng(0)
    centres = draws.normal(size=(CLASSES, 200)) * 0.12
    labels = {"train": np.arange(600) % CLASSES, "test": np.arange(600) % CLASSES}
    features = {split: centres[ids] + draws.normal(size=(len(ids), 200)) for split, ids in labels.items()}
    given = representation(features, labels)
    weak, strong, chosen = (
        linear.evaluate(given, seed=0, weight_decays=decays).scores[0].value for decays in ([1e-6], [0.1], [1e-6, 0.1])
    )
    assert strong > weak
    assert chosen == strong


def test_a_feature_that_never_varies_is_no_trouble(problem):
    features, labels = problem
    wider = {split: np.hstack([rows, np.full((len(rows), 3), 0.1, np.float16)]) for split, rows in features.items()}
    expected, got = (
        linear.evaluate(representation(each, labels), seed=0, weight_decays=[0.01]).scores[0].value
        for each in (features, wider)
    )
    assert got == pytest.approx(expected, abs=2 / 600)


def test_missing_labels_are_told(problem):
    def none(split):
        raise NeedsLabels(f"{split} has no labels")

    with pytest.raises(NeedsLabels, match="train has no labels"):
        linear.evaluate(Representation(("pooled",), lambda split, _layer: problem[0][split], none, 2), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_decays": []}, "at least one number"),
        ({"weight_decays": 0.1}, "must be a list"),
        ({"weight_decays": [0.0]}, "above 0"),
        ({"weight_decays": [float("nan")]}, "finite"),
        ({"weight_decays": ["1e-3"]}, "finite numbers"),
        ({"iterations": 0}, "iterations = 0"),
    ],
)
def test_settings_out_of_range_are_refused(problem, settings, message):
    with pytest.raises(ValueError, match=message):
        linear.evaluate(representation(*problem), seed=0, **settings)


def test_broken_features_and_labels_are_refused(problem):
    features, labels = problem
    holed = {split: rows.copy() for split, rows in features.items()}
    holed["train"][3, 2] = np.inf
    with pytest.raises(ValueError, match="layer 'pooled' has training features that are not finite"):
        linear.evaluate(representation(holed, labels), seed=0)
    with pytest.raises(ValueError, match="for 899 labels"):
        linear.evaluate(representation(features, {**labels, "train": labels["train"][1:]}), seed=0)
    with pytest.raises(ValueError, match="test labels must be at least one, each from 0 to 5"):
        linear.evaluate(representation(features, {**labels, "test": labels["test"] + 1}), seed=0)


def loss(features, labels, solution, weight_decay):
    logits = torch.nn.functional.linear(features, solution[:, :-1], solution[:, -1])
    return float(torch.nn.functional.cross_entropy(logits, labels) + weight_decay / 2 * solution[:, :-1].square().sum())


@pytest.mark.parametrize("weight_decay", [0.003, 0.1])
def test_sgd_and_lbfgs_reach_the_same_optimum(problem, weight_decay):
    features, labels = standardised(problem[0]["train"]), torch.from_numpy(problem[1]["train"])
    best = torch.column_stack(
        classifier.fit(features, labels, CLASSES, weight_decay=weight_decay, iterations=300, tolerance=1e-8)
    )
    given = Standardised(features.numpy(), torch.zeros(20), torch.ones(20))
    found = classifier.fit_best_by_sgd(given, labels, CLASSES, [weight_decay], 200, None, 0)
    lowest, reached = (loss(features, labels, solution, weight_decay) for solution in (best, found))
    start = loss(features, labels, torch.zeros_like(best), weight_decay)
    assert lowest <= reached < lowest + 1e-3 * (start - lowest)
    agree = [torch.nn.functional.linear(features, s[:, :-1], s[:, -1]).argmax(1) for s in (best, found)]
    assert (agree[0] == agree[1]).float().mean() > 0.99


def test_sgd_scores_as_lbfgs_does_and_chooses_the_weight_decay_too(problem):
    first, second = (
        linear.evaluate(representation(*problem), seed=0, solver=solver, iterations=40).scores[0]
        for solver in classifier.SOLVERS
    )
    assert second.value == pytest.approx(first.value, abs=0.02)
    again = linear.evaluate(representation(*problem), seed=0, solver="sgd", iterations=40).scores[0]
    assert again == second


def test_sgd_reads_blocks_and_never_the_whole(problem):
    features, labels = problem

    class Watched(np.ndarray):
        most = 0

        def __getitem__(self, key):
            found = super().__getitem__(key)
            Watched.most = max(Watched.most, len(np.atleast_2d(found)))
            return found

    many = {split: np.tile(rows, (100, 1)).view(Watched) for split, rows in features.items()}
    tiled = {split: np.tile(ids, 100) for split, ids in labels.items()}
    linear.evaluate(representation(many, tiled), seed=0, solver="sgd", iterations=1, weight_decays=[0.01])
    assert Watched.most <= sgd.BLOCK < len(many["train"])
