"""What a stage's run cost, and of how much work: what later runs are estimated by.

    {"key": ..., "what": "rotation", "like": "3f...", "amount": 65536, "seconds": 21.4, "elapsed": 22.9,
     "peak_memory": 774696960, "bytes": 2827279, ...}

`what` is the method, the protocol or the reader. Stages of one kind with the same `what` and `like` differ in their
amount of work alone: the samples that a training sees in all its epochs, or the samples of both splits. `elapsed` is
`seconds` with what DVC and MLflow took around them; it is added by whoever has started the stage. `bytes` are those of
its outputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project.project import Project
from tasks.settings import readers
from tasks.settings.encoders import TRAININGS, block_of, encoder_of
from tasks.settings.refits import method_of
from tasks.settings.schema import ParameterError
from tasks.settings.stage_kinds import kind_of
from tasks.staleness.graph import Stage

OF_MACHINE = ("threads", "processes", "precision", "chunk", "compile")
OF_DECODING = ("frames", "fps", "hop", "most", "tracks", "every", "of")
"""Settings of readers that decide how much there is to decode: of video, and by what other pictures are read."""
DESCRIBING = ("key", "what", "like", "amount", "elapsed", "bytes")
"""What a record holds for estimates and no report shows."""


@dataclass(frozen=True)
class Facts:
    """What is known of a data set: samples of each split, and shapes of the parts of one; None where it is not."""

    train: int | None = None
    test: int | None = None
    shapes: Mapping[str, Any] | None = None

    @property
    def samples(self) -> int | None:
        return None if self.train is None else self.train + (self.test or 0)


@dataclass(frozen=True)
class Work:
    """What a stage's time depends on, as the record of its cost says."""

    what: str = ""
    like: str = ""
    amount: float | None = None


def target_of(stage: str) -> str:
    """The target whose data a stage works on; empty for a stage on the selected data set."""
    word, _, names = stage.partition("@")
    if word == "prepare_target":
        return names
    return names.partition("-")[2] if word.startswith("transfer_target") else ""


def facts(project: Project, *, target: str = "", fresh: bool = False) -> Facts:
    """Of the selected data set or of a target's, as its preparation recorded it.

    fresh: it will be prepared again, as its block says.
    """
    content = _described(project.target(target)) if target else files.remembered(project.places.preparation)
    found = Facts(*(content.get(name) for name in ("train", "test", "shapes")))
    if not fresh:
        return found
    block = project.parameters["targets"][target]["data"] if target else project.parameters["data"]
    train, test = (block.get(name, before) for name, before in (("train", found.train), ("test", found.test)))
    if readers.states(block, "describe"):
        return Facts(train, test, _to_be(project, target) or None)
    shapes, size = dict(found.shapes or {"images": [3, 0, 0]}), block.get("size")
    if "images" in shapes and size is not None:
        shapes["images"] = [shapes["images"][0], size, size]
    elif not found.shapes:
        shapes = {}
    return Facts(train, test, shapes or None)


def _to_be(project: Project, target: str) -> dict[str, Any]:
    """The shapes that a reader gives under these parameters; nothing where it cannot tell them, as a check says."""
    from tasks.stage.apart import CallFailed, call

    with suppress(ParameterError, CallFailed):  # apart, since readers bring torch
        return dict(call(project, "tasks.checks.dry_run:described", project.parameters, target))
    return {}


def _described(folder: Path) -> dict[str, Any]:
    """What the data set in a folder says of itself; nothing where there is none that can be read."""
    from tasks.artifacts.dataset import Stored

    with suppress(FileNotFoundError, files.UnreadableFile):
        return Stored(folder).description
    return {}


def work(parameters: Mapping[str, Any], stage: str, data: Facts) -> Work:
    """Of a stage under these parameters. data: what is known of the data that it works on (`target_of`)."""
    kind, (_, _, names) = kind_of(stage), stage.partition("@")
    run, _, protocol = names.partition("-")
    if kind in ("report", "prepare"):
        block = parameters["targets"][run]["data"] if run else parameters["data"]
        if kind == "report":
            return Work("", _hash([kind, None]), data.samples)
        of_clips = {name: block[name] for name in OF_DECODING if name in block}
        like = _hash([kind, block.get("size"), *([of_clips] if of_clips else [])])
        return Work(str(block.get("reader")), like, data.samples)
    if kind == "atlas":
        return _map(parameters.get("maps") or {}, data)
    own = block_of(dict(parameters), run)
    encoder = encoder_of(parameters, block_of(dict(parameters), own["source"]) if kind == "cluster" else own)
    machine = {name: parameters["machine"].get(name) for name in OF_MACHINE}
    like = _hash([kind, encoder, data.shapes, machine, parameters.get("extract") if kind == "extract" else None])
    if kind != "train":
        return Work(protocol, like, data.samples)
    settings = {**parameters["training"], **own}
    method = str(own["method"]) if run in parameters[TRAININGS[0]] else method_of(own)
    return Work(method, like, _seen(settings, data.train))


def record(project: Project, stage: Stage, key: str, costs: Mapping[str, float]) -> dict[str, Any]:
    """What is kept of a run that has just ended in this process. costs: as the stage measured them."""
    described: dict[str, Any] = {}
    try:
        own = work(project.parameters, stage.name, facts(project, target=target_of(stage.name)))
        described = {"what": own.what, "like": own.like, "amount": own.amount}
    except Exception as error:  # the work itself is done
        print(f"warning: later runs cannot be estimated by this one ({type(error).__name__}: {error})")
    return {"key": key, **described, "peak_memory": _most_held(), "bytes": _bytes(project.root, stage.outputs), **costs}


def add_elapsed(project: Project, stage: str, seconds: float) -> None:
    """Adds how long a stage took from its start to its record in dvc.lock."""
    path = project.costs(stage)
    if content := files.remembered(path):
        files.write_json(path, {**content, "elapsed": seconds})


def _seen(settings: Mapping[str, Any], samples: int | None) -> float | None:
    """The samples that a training takes steps on; the last batch of an epoch is left out where it is not full."""
    if samples is None or "epochs" not in settings:
        return None
    batch = settings.get("batch_size")
    whole = samples // batch * batch if isinstance(batch, int) and batch <= samples else samples
    return float(settings["epochs"] * whole)


def _map(settings: Mapping[str, Any], data: Facts) -> Work:
    """Of the stage `atlas`: a map has so many samples as its block says, or all where there are fewer."""
    most, samples = settings.get("samples"), data.samples
    others = {name: value for name, value in settings.items() if name != "samples"}
    drawn = samples if samples is None or most is None else min(samples, most)
    return Work("", _hash(["atlas", others, data.shapes]), drawn)


def _most_held() -> int:
    """Bytes: the most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _bytes(root: Path, outputs: Iterable[str]) -> int:
    total = 0
    for path in (root / output for output in outputs):
        members = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        total += sum(file.stat().st_size for file in ([path] if path.is_file() else members))
    return total


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
