"""Checks the settings of the stages about to run: all is built at a small size, on made-up input, before any starts."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_models.errors import NeedsParts, NeedsSamples
from tasks.artifacts.dataset import Stored
from tasks.checks import sizes
from tasks.checks.protocols import Layers, check_transfer
from tasks.checks.weights_seen import WeightsSeen
from tasks.process import faults
from tasks.project.project import Project
from tasks.settings import data_kinds, params, readers, schema
from tasks.settings.encoders import block_of, encoder_of
from tasks.settings.refits import CLASSES, CLUSTERS, continues, method_of
from tasks.settings.schema import ParameterError

if TYPE_CHECKING:
    from ssl_models.data import DataSpec
    from ssl_models.encoders.encoder import Encoder
    from ssl_models.method import Method
    from ssl_models.weights.fitting import Fit


def check_stages(project: Project, stages: list[str]) -> dict[str, float]:
    """Stage -> bytes that it will write, as far as shapes tell (tasks/checks/sizes.py).

    Raises ParameterError for a setting that the method, the protocol, k-means or the trainer would refuse.
    """
    data = measure(project, "prepare" in stages)
    _check_each(project, stages, data, WeightsSeen(), Layers())
    return sizes.of_stages(project, stages, data)


def sizes_under(project: Project, parameters: dict[str, Any], stages: list[str], fresh: bool) -> dict[str, float]:
    """The same bytes under parameters that params.yaml does not hold; nothing is checked. fresh: as for `measure`."""
    project = Project.given(project.root, parameters)
    return sizes.of_stages(project, stages, measure(project, fresh))


def check_points(project: Project, points: list[tuple[str, dict[str, Any], list[str]]]) -> None:
    """The same for points of a sweep, each as what errors call it, its parameters, and the stages to be looked at."""
    measured: dict[str, DataSpec] = {}
    seen, layers = WeightsSeen(), Layers()
    own = json.dumps([project.parameters["data"], project.parameters["seed"]], sort_keys=True)
    for where, parameters, stages in points:
        point = Project.given(project.root, parameters)
        data = json.dumps([parameters["data"], parameters["seed"]], sort_keys=True)
        try:
            if data not in measured:
                measured[data] = measure(point, fresh=data != own)
            _check_each(point, stages, measured[data], seen, layers)
        except ParameterError as error:
            raise ParameterError(f"{where}: {error}") from None


def _check_each(project: Project, stages: list[str], data: DataSpec, seen: WeightsSeen, layers: Layers) -> None:
    parameters = project.parameters
    for name, value in parameters["extract"].items():
        if value < 1:
            raise ParameterError(f"extract.{name} is {value}; it must be at least 1")
    looked_at: set[tuple[str, Any]] = set()
    targets: dict[str, DataSpec] = {}
    for stage in stages:
        kind, _, names = stage.partition("@")
        run, _, protocol = names.partition("-")
        block = "targets" if protocol in parameters["targets"] else "transfer"
        where = f"{block}.{protocol}" if protocol else f"targets.{run}" if kind == "prepare_target" else f"{kind}.{run}"
        with _told(project, where):
            if kind == "pretrain":
                own = parameters["pretrain"][run]
                _check_training(project, own["method"], own, data, seen)
            elif kind == "clusterfit":
                own = parameters["clusterfit"][run]
                _check_training(project, method_of(own), own, data, seen)
            elif kind == "cluster":
                _check_cluster(project, parameters["clusterfit"][run], data, seen)
            elif kind == "prepare_target":
                targets[run] = _measured(project, parameters["targets"][run]["data"], project.target(run), fresh=True)
            elif protocol:
                if block == "targets" and protocol not in targets:
                    own = parameters["targets"][protocol]["data"]
                    targets[protocol] = _measured(project, own, project.target(protocol), fresh=False)
                check_transfer(parameters, run, protocol, data, targets.get(protocol, data), layers, looked_at)


@contextmanager
def _told(project: Project, where: str) -> Iterator[None]:
    """Raises ParameterError, which names `where`, for what the block refuses and for mistakes in the code it runs."""
    try:
        yield
    except Exception as error:
        if faults.traced() and not isinstance(error, ValueError):
            raise
        if faults.is_out_of_memory(error):
            raise ParameterError(f"{where}: a network of these settings does not fit into this machine.") from error
        fault = faults.explain(error, project.root)
        words = f"{type(error).__name__}: {error}" if fault is None else fault.words
        raise ParameterError(f"{where}: {words}") from error


def described(project: Project, parameters: dict[str, Any], target: str) -> dict[str, list[int]]:
    """Part of a sample -> its shape, of data that are to be prepared; empty where their reader does not describe them.

    target: whose data, "" for those that the parameters select.
    """
    block = parameters["targets"][target]["data"] if target else parameters["data"]
    reader = readers.reader_of(block)
    if not hasattr(reader, "describe"):
        return {}
    shapes, _ = reader.describe(**readers.settings_of(project.root, block, "load", parameters["seed"]))
    return {part: list(shape) for part, shape in shapes.items()}


def measure(project: Project, fresh: bool) -> DataSpec:
    """What is known of the data: from the prepared ones, or if they are to be made, from their reader."""
    return _measured(project, project.parameters["data"], project.places.dataset, fresh)


def _measured(project: Project, block: dict[str, Any], folder: Path, fresh: bool) -> DataSpec:
    """What is known of the data set of a block, which is prepared in `folder`."""
    from ssl_models.data import DataSpec

    stored = Stored(folder)
    if stored.prepared and not fresh:
        return DataSpec(stored.description["train"], stored.shapes, known=stored.known)
    samples, reader, settings = _counted(project, block, project.parameters["seed"])
    if hasattr(reader, "describe"):
        shapes, known = reader.describe(**settings)
        return DataSpec(samples, shapes, known=known)
    size = settings.get("size", inspect.signature(reader.load).parameters["size"].default)
    channels = reader.channels(**settings) if hasattr(reader, "channels") else 3
    return DataSpec(samples, {"images": (channels, size, size)})


def _counted(project: Project, block: dict[str, Any], seed: int) -> tuple[int, Any, dict[str, Any]]:
    """Training samples that a data set's reader will give, the reader, and its settings."""
    with _told(project, f"datasets.{block['name']}"):
        reader, settings = readers.reader_of(block), readers.settings_of(project.root, block, "load", seed)
    with _told(project, f"datasets.{block['name']}"):
        samples, _ = reader.count(**settings)
    return samples, reader, settings


def _check_training(project: Project, method: str, block: dict[str, Any], data: DataSpec, seen: WeightsSeen) -> None:
    import torch

    from ssl_models import chunks
    from ssl_models.hardware import resolve_precision
    from ssl_models.parallel.processes import require_shares
    from tasks.training import computing

    parameters = project.parameters
    machine = parameters["machine"]
    settings = computing.settings_of(parameters, block, automatic=2 * machine.get("processes", 1))
    resolve_precision(machine["precision"], torch.device("cpu"))
    if settings.batch_size > data.samples:
        raise ValueError(_too_few(parameters, block, settings.batch_size, data.samples))
    require_shares(settings.batch_size, machine.get("processes", 1))
    with suppress(NeedsParts, NeedsSamples):  # which the stage itself says
        chunks.refuse(built(project, method, block, data, seen), machine.get("chunk", 0))


def _too_few(parameters: dict[str, Any], block: dict[str, Any], batch: int, samples: int) -> str:
    """That a batch has more samples than there are, and what to change."""
    own, kind = parameters["data"], data_kinds.active(parameters)
    place = f"{data_kinds.KINDS}.{kind}.training" if data_kinds.KINDS in parameters else "training"
    ways = []
    if samples:
        most = 2 ** (samples.bit_length() - 1)
        ways.append(f"batch_size: {most} into {'this block' if 'batch_size' in block else place}")
    if "hop" in schema.keywords(schema.CODE / "datasets" / f"{own['reader']}.py", "load"):
        ways.append(f"a smaller hop into datasets.{own['name']} for more clips")
    told = f"batch_size {batch} is over the {samples} training samples there are"
    return f"{told}; write {', or '.join(ways)}" if ways else told


def built(project: Project, name: str, block: dict[str, Any], data: DataSpec, seen: WeightsSeen) -> Method:
    """The method of a run as its stage will build it, with the weights that it starts from."""
    from tasks.training.building import build_method, starting

    start = starting(project.root, block, seen)
    if continues(block):
        start = partial(_go_on, source=_source(project, block["source"], data, seen).encoder, name=block["source"])
    given = _labelled(data, block)
    return build_method(project.parameters, name, block, given, seed=0, root=project.root, start=start, load=seen)[0]


def _source(project: Project, run: str, data: DataSpec, seen: WeightsSeen) -> Method:
    """The method of a refit's source."""
    block = block_of(project.parameters, run)
    return built(project, method_of(block), block, data, seen)


def _go_on(encoder: Encoder, *, source: Encoder, name: str) -> Fit:
    """How far the weights of a source's encoder will fit."""
    from ssl_models.weights.fitting import best_fit
    from ssl_models.weights.reading import Group

    fit = best_fit(encoder, [Group("", source.state_dict())], f"of the run '{name}'")
    fit.require(whole=True)
    return fit


def _labelled(data: DataSpec, block: dict[str, Any]) -> DataSpec:
    """With labels, since only the data can tell whether there are any, and a teacher's logits where a refit asks."""
    import torch

    targets = torch.randn(data.samples, 2) if block.get("outputs") in (CLUSTERS, CLASSES) else None
    return replace(data, labels=torch.arange(data.samples) % 2, classes=2, targets=targets)


def _check_cluster(project: Project, block: dict[str, Any], data: DataSpec, seen: WeightsSeen) -> None:
    from ssl_models.clustering import refuse_settings
    from ssl_models.encoders import encoder_class

    parameters, source = project.parameters, block["source"]
    if continues(block):  # as its training says
        return
    shape = encoder_of(parameters, block_of(parameters, source))
    try:
        if block.get("outputs") == CLASSES:
            _check_teacher(project, source, data, seen)
            return
        dim = encoder_class(shape.pop("name")).from_data(data, **shape).dim
    except (NeedsParts, NeedsSamples):  # as the training of its source says
        return
    settings = {"iterations": 50, "components": 0, "redo": 1} | params.pick(block, params.cluster_fields())
    refuse_settings((data.samples, dim), **settings, threads=parameters["machine"]["threads"])


def _check_teacher(project: Project, source: str, data: DataSpec, seen: WeightsSeen) -> None:
    """Refuses a source that has no classifier of its own."""
    if _source(project, source, data, seen).classifier() is None:
        name = method_of(block_of(project.parameters, source))
        raise ValueError(
            f"outputs is 'classes', but the method '{name}' of its source '{source}' has no classifier of the data's "
            "labels; `outputs: clusters` works with any source"
        )
