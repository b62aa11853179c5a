"""What holds for every protocol; a new file in ssl_models/protocols is found without being named here."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_models import protocols
from ssl_models.errors import NeedsLabels
from ssl_models.protocols._common.score import Representation, Score

torch.set_num_threads(1)
FOLDER = Path(protocols.__file__).parent
CLASSES, TRAIN, TEST = 8, 320, 160
LAYERS = ("conv1", "res2", "pooled")


def is_protocol(path):
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "evaluate" for node in ast.parse(path.read_text()).body
    )


NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if is_protocol(path))
FROZEN = [name for name in NAMES if set(import_module(f"ssl_models.protocols.{name}").NEEDS) == {"features", "labels"}]
OWN = sorted(set(NAMES) - set(FROZEN))
CLAIMS = (
    "test_an_oracle_scores_one",
    "test_a_constant_scores_chance",
    "test_shuffled_truth_scores_chance",
    "test_same_seed_same_numbers",
    "test_the_order_of_samples_does_not_matter",
    "test_missing_truth_is_told",
    "test_bad_settings_are_refused",
)
"""What the tests below show of a protocol that reads features and labels, and any other shows in a file of its own."""


@pytest.fixture(params=FROZEN)
def evaluate(request):
    return import_module(f"ssl_models.protocols.{request.param}").evaluate


def representation(train, test, train_labels=None, test_labels=None):
    """Labels are 0 .. 7 in turn unless they are given."""
    labels = {
        "train": np.arange(TRAIN) % CLASSES if train_labels is None else train_labels,
        "test": np.arange(TEST) % CLASSES if test_labels is None else test_labels,
    }
    features = {"train": train.astype(np.float16), "test": test.astype(np.float16)}
    return Representation(LAYERS, lambda split, _layer: features[split], labels.__getitem__, CLASSES)


def noisy(samples, seed):
    """Features that tell some of the class."""
    draws = np.random.default_rng(seed)
    return np.eye(CLASSES)[np.arange(samples) % CLASSES] + draws.normal(size=(samples, CLASSES))


def accuracies(scores):
    found = [score for score in scores if score.metric in ("top1", "top5")]
    if not found:
        pytest.skip("this protocol reports no accuracy")
    return found


def settings(evaluate):
    return [name for name in inspect.signature(evaluate).parameters if name not in ("representation", "seed")]


def test_protocols_are_found():
    assert {"linear", "knn"} <= set(FROZEN)


@pytest.mark.parametrize("name", OWN)
def test_what_else_a_protocol_reads_it_has_tests_of_its_own_for(name):
    tree = ast.parse((Path(__file__).parent / f"test_{name}.py").read_text())
    assert {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} >= set(CLAIMS)


@pytest.mark.parametrize("name", NAMES)
def test_signature(name):
    evaluate = import_module(f"ssl_models.protocols.{name}").evaluate
    parameters = inspect.signature(evaluate).parameters
    assert next(iter(parameters)) == "representation"
    assert parameters["seed"].kind is inspect.Parameter.KEYWORD_ONLY
    for name in settings(evaluate):
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default is not inspect.Parameter.empty, f"{name} has no default"


def test_scores_are_well_formed(evaluate):
    scores = evaluate(representation(noisy(TRAIN, 0), noisy(TEST, 1)), seed=0).scores
    assert scores
    keys = [(score.layer, score.metric) for score in scores]
    assert len(set(keys)) == len(keys)
    for score in scores:
        assert isinstance(score, Score)
        assert score.layer in ("", *LAYERS)
        assert type(score.value) is float
        assert score.low <= score.value <= score.high


def test_an_oracle_scores_one(evaluate):
    oracle = np.eye(CLASSES)
    scores = evaluate(
        representation(oracle[np.arange(TRAIN) % CLASSES], oracle[np.arange(TEST) % CLASSES]), seed=0
    ).scores
    for score in accuracies(scores):
        assert score.value == 1
        assert score.low > 0.95


def test_a_constant_scores_chance(evaluate):
    scores = evaluate(representation(np.full((TRAIN, 4), 0.3), np.full((TEST, 4), 0.3)), seed=0).scores
    for score in accuracies(scores):
        assert score.value == pytest.approx(int(score.metric[3:]) / CLASSES)


def test_shuffled_labels_score_chance(evaluate):
    labels = np.random.default_rng(0).permutation(np.arange(TRAIN) % CLASSES)
    for score in accuracies(evaluate(representation(noisy(TRAIN, 0), noisy(TEST, 1), labels), seed=0).scores):
        assert score.value == pytest.approx(int(score.metric[3:]) / CLASSES, abs=0.15)


def test_same_seed_same_numbers(evaluate):
    given = representation(noisy(TRAIN, 0), noisy(TEST, 1))
    assert evaluate(given, seed=3).scores == evaluate(given, seed=3).scores


def test_the_order_of_samples_does_not_matter(evaluate):
    train, test = noisy(TRAIN, 0), noisy(TEST, 1)
    expected = accuracies(evaluate(representation(train, test), seed=0).scores)
    rows, test_rows = (np.random.default_rng(2).permutation(samples) for samples in (TRAIN, TEST))
    moved = representation(train[rows], test[test_rows], rows % CLASSES, test_rows % CLASSES)
    # Rounding may turn a sample; and where a protocol holds samples out, others are held out.
    for score, other in zip(accuracies(evaluate(moved, seed=0).scores), expected, strict=True):
        assert score.value == pytest.approx(other.value, abs=0.02)


def test_missing_labels_are_told_or_not_needed(evaluate):
    def none(split):
        raise NeedsLabels(f"the {split} split has no labels")

    given = representation(noisy(TRAIN, 0), noisy(TEST, 1))
    try:
        assert evaluate(Representation(LAYERS, given.features, none, CLASSES), seed=0).scores
    except NeedsLabels:
        return  # let through, so that the stage can say that it does not apply


def test_bad_settings_are_refused(evaluate):
    given = representation(noisy(TRAIN, 0), noisy(TEST, 1))
    for name in settings(evaluate):
        default = inspect.signature(evaluate).parameters[name].default
        if isinstance(default, bool):
            continue
        bad = "no such thing" if isinstance(default, str) else [] if isinstance(default, list) else type(default)(-1)
        with pytest.raises(ValueError, match=name):
            evaluate(given, seed=0, **{name: bad})
