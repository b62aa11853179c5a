"""How many bytes stages will write that have never run: data sets, encoders and features, by their shapes."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tasks.artifacts.dataset import Stored
from tasks.project.project import Project
from tasks.settings import readers
from tasks.settings.encoders import block_of, encoder_of
from tasks.settings.stage_kinds import kind_of

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

BYTES = {"images": 1, "frames": 1, "sound": 2, "tokens": 4, "vectors": 4}
"""Of a number of each part of a sample, as data sets are stored."""
BESIDE = 16
"""Bytes of a sample beside its parts: its label, and where it comes from."""
TRAINED = 0.8
"""The share of the samples that a reader trains on, where nobody says otherwise."""


def of_stages(project: Project, stages: Iterable[str], data: DataSpec) -> dict[str, float]:
    """Stage -> bytes, of those for which it follows from shapes. data: what is known of the selected data set.

    A data set is samples x shape, an encoder weights x 4, features samples x layers x `extract.size` x 2.
    """
    found: dict[str, float] = {}
    encoders: dict[str, tuple[float, float]] = {}
    samples = _samples(project, data)
    for stage in stages:
        kind, run = kind_of(stage), stage.partition("@")[2].partition("-")[0]
        with suppress(Exception):  # an estimate: what cannot be built is told by the check itself
            if stage == "prepare":
                found[stage] = samples * (_sample(project.parameters["data"], data) + BESIDE)
            elif kind in ("train", "extract"):
                settings = encoder_of(project.parameters, block_of(project.parameters, run))
                key = json.dumps(settings, sort_keys=True)
                if key not in encoders:
                    encoders[key] = _encoder(settings, data, project.parameters["extract"])
                weights, width = encoders[key]
                found[stage] = weights * 4 if kind == "train" else samples * width * 2
    return found


def _samples(project: Project, data: DataSpec) -> float:
    """Of both splits."""
    stored, block = Stored(project.places.dataset), project.parameters["data"]
    if isinstance(block.get("test"), int):
        return data.samples + block["test"]
    if stored.prepared and stored.description["train"] == data.samples:
        return data.samples + float(stored.description["test"])
    return data.samples / (1 - block.get("test_fraction", 1 - TRAINED))


def _sample(block: dict[str, Any], data: DataSpec) -> float:
    """Bytes of a sample's parts. Pictures may be stored larger than they are used."""
    given = inspect.signature(readers.reader_of(block).load).parameters
    default = given["store"].default if "store" in given else 1.0
    larger = float(block.get("store", default)) ** 2
    return sum(
        math.prod(shape) * BYTES.get(part, 4) * (larger if part == "images" else 1.0)
        for part, shape in data.shapes.items()
    )


def _encoder(settings: dict[str, Any], data: DataSpec, extract: dict[str, Any]) -> tuple[float, float]:
    """Numbers that an encoder holds, and numbers that all its layers together give for a sample."""
    from ssl_models.encoders import encoder_class
    from tasks.checks.protocols import Layers

    shape = dict(settings)
    encoder = encoder_class(shape.pop("name")).from_data(data, **shape)
    layers = Layers().of(settings, data, data) or ()
    size = extract.get("size", 512)
    return sum(tensor.numel() for tensor in encoder.state_dict().values()), (len(layers) - 1) * size + encoder.dim
