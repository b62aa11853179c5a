import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.datasets import world
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsLabels
from ssl_models.methods.supervised import Supervised
from ssl_models.modalities import image
from ssl_models.protocols import finetune
from ssl_models.protocols._common import adaptation, labelled
from ssl_models.protocols._common.score import Representation
from ssl_models.trainer import Settings

torch.set_num_threads(1)
CLASSES, TRAIN, TEST, SIDE = 6, 240, 120, 8
SHORT = {"epochs": 2, "batch_size": 40, "learning_rate": 0.004}
LONG = {"epochs": 6, "learning_rate": 0.05}


class Told(Encoder):
    """The class that a picture's brightness says: the answer itself."""

    name, dim = "told", CLASSES
    modalities = (image,)

    def standardise(self, inputs):
        return inputs

    def blocks(self):
        return {"brightness": lambda inputs: inputs.mean((1, 2, 3)) * 255 / 40}

    def pool(self, last):
        return functional.one_hot(last.round().long(), CLASSES).float()


class Deaf(Told):
    """The same vector for any picture, whatever its one parameter learns."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(CLASSES))

    def pool(self, last):
        return last[:, None] * self.weight * 0 + 0.3


def tiny():
    torch.manual_seed(0)
    return ResNet(depth=10, width=4)


def in_turn(samples):
    return np.arange(samples) % CLASSES


def plain(labels):
    """(N, 3, H, W) uint8 of the brightness that Told reads."""
    return np.broadcast_to(40 * labels[:, None, None, None], (len(labels), 3, SIDE, SIDE)).astype(np.uint8)


def noisy(labels, seed, noise=40):
    """A colour for each class under noise of the whole picture and of its pixels."""
    draws = np.random.default_rng(seed)
    colours = np.random.default_rng(9).uniform(60, 200, size=(CLASSES, 3))
    shift = draws.normal(size=(len(labels), 3)) * noise / 3
    pixels = draws.normal(size=(len(labels), 3, SIDE, SIDE)) * noise
    return ((colours[labels] + shift)[:, :, None, None] + pixels).clip(0, 255).astype(np.uint8)


def given(encoder, train, test, train_labels=None, test_labels=None, classes=CLASSES):
    images = {"train": train, "test": test}
    labels = {
        "train": in_turn(len(train)) if train_labels is None else train_labels,
        "test": in_turn(len(test)) if test_labels is None else test_labels,
    }
    return Representation(
        ("pooled",),
        lambda *_: pytest.fail("features are none of its business"),
        labels.__getitem__,
        classes,
        encoder=encoder,
        samples=lambda split: {"images": images[split]},
        precision="float32",
    )


def easy(encoder=tiny, train_labels=None):
    labels, test_labels = in_turn(TRAIN), in_turn(TEST)
    return given(encoder, noisy(labels, 0), noisy(test_labels, 1), train_labels)


def top1(representation, **settings):
    return finetune.evaluate(representation, seed=0, **{**SHORT, **settings}).scores[0].value


def pretrained(data, epochs=4):
    """An encoder that was trained on these labels, and one that was not."""
    torch.manual_seed(0)
    start = ResNet(depth=10, width=8)
    method = Supervised(start, DataSpec(len(data), {"images": (3, 16, 16)}, data.labels, 12))
    settings = Settings(epochs=epochs, batch_size=64, optimizer="adamw", learning_rate=0.02)
    adaptation.train(method, [data.images.numpy()], settings, seed=0, precision="float32")
    return method.encoder.cpu().state_dict()


def of_world(samples, test):
    """An easy world at 16 px, and two representations of it: of an encoder trained on other samples, and of none."""
    dials = {"position": 0.2, "orientation": 0.1, "deformation": 0.2, "clutter": 0.0, "texture": 0.0, "gradient": 0.0}
    state = pretrained(world.load(seed=5, train=1200, test=1, size=16, **dials).train)
    data = world.load(seed=0, train=samples, test=test, size=16, **dials)

    def untrained():
        torch.manual_seed(1)
        return ResNet(depth=10, width=8)

    def trained():
        encoder = untrained()
        encoder.load_state_dict(state)
        return encoder

    splits = [data.train.images.numpy(), data.test.images.numpy(), data.train.labels.numpy(), data.test.labels.numpy()]
    return [given(encoder, *splits, classes=12) for encoder in (trained, untrained)]


def test_an_oracle_scores_one():
    scores = finetune.evaluate(given(Told, plain(in_turn(TRAIN)), plain(in_turn(TEST))), seed=0, **SHORT).scores
    assert [(score.layer, score.metric, score.value) for score in scores] == [("", "top1", 1.0), ("", "top5", 1.0)]
    assert all(score.low > 0.95 for score in scores)


def test_a_constant_scores_chance():
    scores = finetune.evaluate(given(Deaf, plain(in_turn(TRAIN)), plain(in_turn(TEST))), seed=0, **SHORT).scores
    assert [score.value for score in scores] == pytest.approx([1 / CLASSES, 5 / CLASSES])


def test_shuffled_truth_scores_chance():
    shuffled = np.random.default_rng(0).permutation(in_turn(TRAIN))
    assert top1(easy(train_labels=shuffled), **LONG) == pytest.approx(1 / CLASSES, abs=0.1)
    assert top1(easy(), **LONG) > 1 / CLASSES + 0.3  # as it is, there is something to learn


def test_same_seed_same_numbers():
    first, again = (finetune.evaluate(easy(), seed=3, **SHORT) for _ in range(2))
    assert first.scores == again.scores
    logits = [labelled.class_scores(easy(), np.arange(TRAIN), in_turn(TRAIN), RECIPE, seed=seed) for seed in (3, 3, 4)]
    assert (logits[0] == logits[1]).all()
    assert (logits[0] != logits[2]).any()


def test_the_order_of_samples_does_not_matter():
    rows, test_rows = (np.random.default_rng(2).permutation(samples) for samples in (TRAIN, TEST))
    labels, test_labels = in_turn(TRAIN), in_turn(TEST)
    train, test = noisy(labels, 0), noisy(test_labels, 1)
    moved = given(tiny, train[rows], test[test_rows], labels[rows], test_labels[test_rows])
    # Other batches make another network: it may answer some of the 120 otherwise.
    expected = top1(given(tiny, train, test), **LONG)
    assert 0.5 < expected < 1
    assert top1(moved, **LONG) == pytest.approx(expected, abs=0.12)
    unbatched = {"epochs": 3, "batch_size": TRAIN}
    assert top1(given(Told, plain(labels[rows]), plain(test_labels), labels[rows]), **unbatched) == 1


def test_missing_truth_is_told():
    def none(split):
        raise NeedsLabels(f"the {split} split has no labels")

    representation = Representation(("pooled",), lambda *_: None, none, CLASSES)
    with pytest.raises(NeedsLabels, match="the train split has no labels"):
        finetune.evaluate(representation, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be over 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be over 0"),
        ({"optimizer": "adam"}, "optimizer 'adam' is unknown; choose one of sgd, adamw, lars"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1; it must be at least 0"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"flip": 1.5}, "flip is 1.5"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    unread = Representation(("pooled",), None, lambda _: pytest.fail("labels were read first"), CLASSES)
    with pytest.raises(ValueError, match=message):
        finetune.evaluate(unread, seed=0, **settings)
    with pytest.raises(ValueError, match=message):
        finetune.refuse(**settings)


def test_good_settings_are_not_refused():
    finetune.refuse()
    finetune.refuse(epochs=1, optimizer="lars", flip=0.0)
    with pytest.raises(TypeError, match="steps"):
        finetune.refuse(steps=3)


def test_labels_that_do_not_fit_are_refused():
    train, test = plain(in_turn(TRAIN)), plain(in_turn(TEST))
    with pytest.raises(ValueError, match="there are 239 train labels for 240 train samples"):
        top1(given(Told, train, test, in_turn(TRAIN - 1)))
    with pytest.raises(ValueError, match="the test labels must be at least one, each from 0 to 5"):
        top1(given(Told, train, test, test_labels=in_turn(TEST) + 1))


def test_a_class_that_training_never_shows_is_told():
    train, test = plain(in_turn(TRAIN)), plain(in_turn(TEST))
    few = np.minimum(in_turn(TRAIN), 3)
    with pytest.raises(ValueError, match="no training sample shows class 4, class 5, which the test split holds"):
        top1(given(Told, train, test, few))
    assert top1(given(Told, plain(few), plain(few), few, few)) == 1  # what is in neither split does no harm


RECIPE = labelled.Recipe(2, 0.004, 40, "adamw", 0.05, 0.5, 0.5)


def test_every_parameter_is_trained_from_the_encoder_and_a_head_of_zeros(monkeypatch):
    before, after = [], []
    train = adaptation.train

    def watched(method, images, settings, **how):
        before.append({name: value.clone() for name, value in method.state_dict().items()})
        train(method, images, settings, **how)
        after.append(dict(method.named_parameters()))

    monkeypatch.setattr(adaptation, "train", watched)
    labelled.class_scores(easy(), np.arange(TRAIN), in_turn(TRAIN), RECIPE, seed=0)
    assert not before[0]["head.weight"].any()
    assert not before[0]["head.bias"].any()
    for name, value in tiny().state_dict().items():
        assert torch.equal(before[0][f"encoder.{name}"], value)
    for name, parameter in after[0].items():
        assert not torch.equal(parameter.cpu(), before[0][name]), name


def test_on_the_world_a_trained_start_beats_an_untrained_one():
    trained, untrained = (
        finetune.evaluate(representation, seed=0, epochs=2, batch_size=64, learning_rate=0.004).scores[0]
        for representation in of_world(480, 240)
    )
    assert trained.low > untrained.high
