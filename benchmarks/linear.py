"""The CPU time of the protocol `linear` on the features of an encoder of default size."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from numpy import ndarray

from benchmarks.measuring import Effort, spread, threads
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from ssl_models.datasets import world
from ssl_models.encoders import build_encoder
from ssl_models.extraction import extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.protocols import linear
from ssl_models.protocols._common.score import Representation

TRAIN, TEST, SIZE = 8192, 2048, 32
SECONDS = 3.0
HOW = (
    f"CPU time of `linear.evaluate` with its default settings on {TRAIN:,} training and {TEST:,} test samples of the "
    "world, on one thread: all layers of the default encoder, untrained, with about 512 features each."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds the row of `linear`."""
    given = representation(512 if effort.quick else TRAIN, 128 if effort.quick else TEST)
    with threads(1):
        taken = [cpu_seconds(lambda: linear.evaluate(given, seed=0)) for _ in range(effort.pairs)]
    page.add(Row("linear", "CPU s", spread(taken), HOW, Target("≤", SECONDS, ratio=False)))


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time that this process spends on a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def representation(train: int, test: int) -> Representation:
    """The features of the world's pictures in the default encoder, untrained."""
    data = world.load(seed=0, train=train, test=test, size=SIZE)
    torch.manual_seed(0)
    device = pick_device()
    encoder = build_encoder("resnet").to(device)
    features: dict[str, dict[str, ndarray]] = {}
    labels: dict[str, ndarray] = {}
    for name, split in (("train", data.train), ("test", data.test)):
        assert split.labels is not None
        with autocast(resolve_precision("auto", device), device):
            blocks = list(extract_features(encoder, {"images": split.images}, device))
        features[name] = {layer: torch.cat([block[layer] for block in blocks]).numpy() for layer in blocks[0]}
        labels[name] = split.labels.numpy()
    layers = tuple(features["train"])
    return Representation(layers, lambda split, layer: features[split][layer], labels.__getitem__, len(data.classes))
