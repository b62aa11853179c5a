"""What holds for every protocol; a new file in ssl_models/protocols is found without being named here."""

import ast
import inspect
from contextlib import suppress
from copy import deepcopy
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_models import protocols
from ssl_models.datasets import world_scenes
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import DoesNotApply, NeedsLabels, NeedsSamples, NeedsTruth
from ssl_models.protocols._common import statement
from ssl_models.protocols._common.score import Representation, Score
from tests.ssl_models import densities, kinds, poses, sounding, tracked, words

torch.set_num_threads(1)
FOLDER = Path(protocols.__file__).parent
CLASSES, TRAIN, TEST = 8, 320, 160
LAYERS = ("conv1", "res2", "pooled")


def is_protocol(path):
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "evaluate" for node in ast.parse(path.read_text()).body
    )


def needs(name):
    return set(import_module(f"ssl_models.protocols.{name}").NEEDS)


NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if is_protocol(path))
FROZEN = [name for name in NAMES if needs(name) == {"features", "labels"}]
OWN = sorted(set(NAMES) - set(FROZEN))
QUICK = {"epochs": 1, "steps": 1, "draws": 2, "samples": 24, "fractions": [0.5, 0.25]}
"""Settings that make any protocol short, where it has them."""
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


def with_everything(train, test):
    """A representation that has all that a protocol can ask for but factors and clusters: one object a picture."""
    data = world_scenes.load(seed=0, train=train, test=test, size=32)
    draws = np.random.default_rng(0)
    splits = {"train": data.train, "test": data.test}
    features = {split: draws.normal(size=(len(own), 8)).astype(np.float16) for split, own in splits.items()}

    def truth(split, kind):
        if kind not in splits[split].truth:
            raise NeedsTruth(f"there are no {kind}")
        return splits[split].truth[kind].numpy()

    torch.manual_seed(0)
    encoder = ResNet(depth=10, width=4)
    return Representation(
        (*encoder.layers(torch.zeros(1, 3, 32, 32)), "pooled"),
        lambda split, _layer: features[split],
        lambda split: splits[split].labels.numpy(),
        len(data.classes),
        data.classes,
        data.points,
        lambda: deepcopy(encoder),
        lambda split: {"images": splits[split].images.numpy()},
        truth,
    )


@pytest.fixture(scope="module")
def everything():
    """What a protocol needs -> a representation that has it."""
    pictures, text, sound = with_everything(64, 32), words.with_everything(), kinds.representation("sound")
    clips = poses.representation(poses.pose, 64, 32)

    def having(needed):
        if "energy" in needed:
            return densities.representation("reals" if "samples" in needed else "binary")
        if "source_box" in needed:
            return sounding.representation()
        if "known" in needed:
            return text
        if "frame_points" in needed:
            return clips
        if "tracks" in needed:
            return tracked.representation(tracked.pixels, 12)
        return sound if {"phones", "labels.X"} & needed else pictures

    return having


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("train", "test"), [(1, 1), (2, 1), (6, 4)])
def test_very_small_data_are_measured_or_it_does_not_apply(name, train, test):
    """Too few samples are a finding. A failure would be tried again, and would withhold the report."""
    evaluate = import_module(f"ssl_models.protocols.{name}").evaluate
    quick = {setting: value for setting, value in QUICK.items() if setting in settings(evaluate)}
    scores = []
    with suppress(DoesNotApply):
        scores = evaluate(with_everything(train, test), seed=0, **quick).scores
    assert all(np.isfinite(score.value) for score in scores)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("embedding", r"test features of shape \(4, 8\); a map takes 20 samples"),
        ("invariance", "at least 8 test pictures; there are 4"),
        ("semi_supervised", "no training sample shows"),
        ("finetune", "no training sample shows"),
    ],
)
def test_what_does_not_apply_says_what_is_lacking(name, words):
    with pytest.raises(NeedsSamples, match=words):
        import_module(f"ssl_models.protocols.{name}").evaluate(with_everything(6, 4), seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_it_states_itself_and_gives_what_it_states(name, everything):
    evaluate = import_module(f"ssl_models.protocols.{name}").evaluate
    quick = {setting: value for setting, value in QUICK.items() if setting in settings(evaluate)}
    found = evaluate(everything(needs(name)), seed=0, **quick)
    metrics = list(dict.fromkeys(score.metric for score in found.scores))
    stated = statement.statement(name)
    assert stated.knows(metrics), "UNITS names every metric"
    assert set(stated.units.values()) <= set(statement.UNITS)
    if stated.headline is not None:
        assert stated.headline_among(metrics), f"HEADLINE is none of {metrics}"
    if stated.map:
        assert all(metric == metrics[0] or metric.startswith(f"{metrics[0]}_") for metric in metrics)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_states_is_written_out(name):
    module = import_module(f"ssl_models.protocols.{name}")
    stated = statement.statement(name)
    assert all(hasattr(module, constant) for constant in ("TITLE", "READING", "HEADLINE", "UNITS"))
    assert (stated.title, stated.reading) == (module.TITLE, module.READING)
    assert (stated.headline, dict(stated.units)) == (module.HEADLINE, module.UNITS)
    assert len(stated.title) <= 16
    assert stated.reading.endswith(".")


def test_one_protocol_leads_and_titles_differ():
    stated = [statement.statement(name) for name in NAMES]
    assert statement.names() == NAMES
    assert [each.name for each in stated if each.leads] == ["linear"]
    assert len({each.title for each in stated}) == len(NAMES)


def test_an_unknown_protocol_is_told_where_to_be_read():
    unknown = statement.statement("no_such")
    assert (unknown.title, unknown.headline, unknown.unit("top1")) == ("no such", None, statement.NUMBER)
    assert "ssl_models/protocols/no_such.py" in unknown.reading


def test_metrics_tell_their_protocol():
    assert statement.giving(["map", "classes"]).name == "voc_map"
    assert statement.giving(["top1_at_10", "top5_at_10"]).name == "semi_supervised"
    assert statement.giving(["mean_angle"]) is None  # its headline is missing
    assert statement.giving(["loss"]) is None


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
        with pytest.raises(ValueError, match=name) as refused:
            evaluate(given, seed=0, **{name: bad})
        assert not isinstance(refused.value, DoesNotApply), "a mistake in the settings is a failure"
