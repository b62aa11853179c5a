"""Every method, given seconds, makes an encoder better than its own untrained self, with its loss under chance.

Methods are found by listing the folder: a new one is tested without being named here. Those that read no pictures have
this test in their own file.
"""

import inspect
import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ssl_models.data import DataSpec
from ssl_models.datasets import world
from ssl_models.encoders import build_encoder
from ssl_models.extraction import POOLED, extract_features
from ssl_models.protocols._common.score import Representation
from ssl_models.trainer import Settings, Silent, Training

pytestmark = pytest.mark.long
METHODS = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "ssl_models" / "methods").glob("*.py")
    if import_module(f"ssl_models.methods.{path.stem}").__dict__.get("METHOD") is not None
    and import_module(f"ssl_models.methods.{path.stem}").METHOD.trains
    and "images" in (import_module(f"ssl_models.methods.{path.stem}").METHOD.parts or ("images",))
)
EPOCHS = {
    **{"colorization": 8, "jigsaw": 8, "npid": 8, "pirl": 8, "deepcluster": 10, "moco_v3": 10, "byol": 12, "dino": 15},
    **{"mae": 20, "nnclr": 20, "simsiam": 20, "swav": 20},
}
"""Of others 5. A memory bank is renewed once an epoch; predictors, prototypes and neighbours are learnt first. What is
learnt of colours, tiles and masked patches in 5 is too near the bound."""

RECIPE = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["datasets"]["world"]["recipe"]
"""Settings that suit the world; the defaults are for photographs, in which colours tell less."""
COLOURS = {"invert": 0.0, "gamma": 0.0}
SETTINGS = {
    "deepcluster": {**COLOURS, "hue": 0.1, "strength": 0.2, "smallest_crop": 0.5, "clusters": 32},
    "dino": {**COLOURS, "hue": 0.1},
    "moco": COLOURS,
    "nnclr": {**COLOURS, "solarise": 0.0},
    "npid": COLOURS,
    "pirl": COLOURS,
    "simsiam": {"smallest_crop": 0.3},
    "swav": {**COLOURS, "smallest_crop": 0.5, "prototypes": 64},
}
"""Of methods that find classes or neighbours, remember pictures or have no negatives: in few steps, views must look
like the picture."""
LAYERS = {"mae": "block3"}
"""Where to look for what is not in the mean over places: the maps of an autoencoder's patches."""
ENCODERS = {"mae": ("vit", {"patch": 4, "width": 48, "depth": 3, "heads": 3, "size": [32, 32]})}
"""Of methods that take no other than a vision transformer."""

CPU = torch.device("cpu")


class LastEpoch(Silent):
    def epoch(self, step, values):  # noqa: ARG002
        self.values = values


@pytest.fixture(scope="module")
def data():
    """A gentle corner of the world: upright objects, neither mirrored nor bent; colours, light and place vary."""
    torch.set_num_threads(1)
    return world.load(seed=1, train=2048, test=512, orientation=0.05, mirror=0, deformation=0, object_size=0.5)


def representation(encoder, data, layer=POOLED):
    """The frozen encoder's features of both splits, of one layer, called the pooled one."""
    splits = {"train": data.train, "test": data.test}
    features = {
        name: np.concatenate(
            [batch[layer].numpy() for batch in extract_features(encoder, {"images": split.images}, CPU)]
        )
        for name, split in splits.items()
    }
    return Representation(
        (POOLED,),
        lambda split, _layer: features[split],
        lambda split: splits[split].labels.numpy(),
        len(data.classes),
    )


def top1(protocol, encoder, data, layer=POOLED, **settings):
    scores = import_module(f"ssl_models.protocols.{protocol}").evaluate(
        representation(encoder, data, layer), seed=0, **settings
    )
    return next(score.value for score in scores.scores if score.metric == "top1")


def effective_rank(features):
    """exp of the entropy of the spectrum (Roy & Vetterli 2007): 1 where all features lie on a line."""
    values = np.linalg.svd(features - features.mean(0), compute_uv=False)
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares + 1e-12)).sum()))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_beats_its_untrained_encoder(name, data):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    encoder, shape = ENCODERS.get(name, ("resnet", {"depth": 10, "width": 8}))
    encoder = build_encoder(encoder, **shape)
    layer = LAYERS.get(name, POOLED)
    before = {
        "linear": top1("linear", encoder, data, layer, weight_decays=[0.01]),
        "knn": top1("knn", encoder, data, layer, neighbours=20),
    }
    labels = data.train.labels
    teacher = 4 * torch.nn.functional.one_hot(labels, len(data.classes)).float()
    spec = DataSpec(len(data.train), {"images": (3, 32, 32)}, labels, len(data.classes), teacher)
    kind = import_module(f"ssl_models.methods.{name}").METHOD
    known = inspect.signature(kind).parameters
    settings = RECIPE | SETTINGS.get(name, {})
    method = kind(encoder, spec, **{word: value for word, value in settings.items() if word in known})
    course = LastEpoch()
    course_settings = Settings(epochs=EPOCHS.get(name, 5), batch_size=64, optimizer="adamw", learning_rate=0.008)
    Training(method, data.train.images, course_settings, seed=0, precision="float32", observer=course).run()
    after = {
        "linear": top1("linear", method.encoder, data, layer, weight_decays=[0.01]),
        "knn": top1("knn", method.encoder, data, layer, neighbours=20),
    }
    assert course.values["loss"] < 0.97 * course.values.get("chance", math.inf), course.values
    gains = {protocol: after[protocol] - before[protocol] for protocol in before}
    assert max(gains.values()) > 0.05, (before, after)
    rank = effective_rank(representation(method.encoder, data, layer).features("test", POOLED).astype(np.float32))
    assert rank > 5, f"collapsed to rank {rank:.1f}"
