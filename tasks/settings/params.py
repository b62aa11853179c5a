"""Reads params.yaml and checks it against the code that uses its settings.

Nothing here imports torch: the settings of a method, a protocol or a reader are read from its source (see schema.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.settings import (
    data_kinds,
    dvc_file,
    encoder_checks,
    groups,
    maps,
    other_reader,
    recipes,
    retries,
    schedules,
    sets,
    source_places,
    yaml_files,
)
from tasks.settings.machine import MACHINE
from tasks.settings.recipes import method_fields
from tasks.settings.refits import CLASSES, CLUSTERS, WEIGHTS, method_of
from tasks.settings.schema import (
    CODE,
    Field,
    ParameterError,
    check_block,
    check_module,
    check_names,
    keywords,
    unknown,
)
from tasks.settings.truth import check_truth
from tasks.settings.values import picture_problem, problem, shown

BLOCKS = (
    "seed",
    "datasets",
    "data",
    "machine",
    "encoder",
    "training",
    "pretrain",
    "extract",
    "clusterfit",
    "transfer",
    "targets",
    "runs",
    "sets",
    "protocols",
    "suites",
    "kinds",
    "kind",
    "groups",
    "maps",
    "orchestration",
    "schedules",
)
OPTIONAL = ("kinds", "kind", "groups", "orchestration", "schedules")
TRAINING = "training"
"""The name of the record of a training beside those of protocols."""
OUTPUTS = (CLUSTERS, CLASSES, WEIGHTS)
SHARED = {"method": Field("str", False), "encoder": Field("dict", False), "initialise": Field("str", False)}
"""Settings that every block of a training may have, see tasks/settings/encoders.py. encoder: this run's own.
initialise: the weights that its encoder starts from, a file or the name of published ones."""
TARGET = {"protocol": Field("str", True), "data": Field("dict", True)}
"""Settings of a target's block besides those of its protocol."""
DATASET = {"name": Field("str", True), "reader": Field("str", True), "source": Field("str", True)}
OPTIONS = {data_kinds.KIND: Field("str", False), recipes.RECIPE: Field("dict", False)}
"""What a data set's block may have besides the settings of its reader: the kind where it is not its reader's."""


def load(root: Path) -> dict[str, Any]:
    """The checked content of params.yaml. Raises ParameterError for any mistake that can be found here."""
    content = read(root)
    check_parameters(content, root)
    return content


def read(root: Path) -> dict[str, Any]:
    """The content of params.yaml, unchecked. Raises ParameterError if there is none, or it is not a mapping."""
    try:
        content = yaml_files.read(root / "params.yaml", "params.yaml")
    except FileNotFoundError:
        raise ParameterError(f"there is no params.yaml in {root}; run this from the project's folder.") from None
    if not isinstance(content, dict):
        raise ParameterError("params.yaml must be a mapping of blocks.")
    return content


def check_parameters(parameters: Mapping[str, Any], root: Path) -> None:
    """Raises ParameterError if a block, a name, a setting or a reference in `parameters` cannot be used."""
    check_blocks(parameters)
    dvc_file.stages(root)
    check_block(parameters["machine"], MACHINE, "machine")
    encoder_checks.check_encoder(parameters["encoder"])
    check_block(parameters["training"], training_fields(), "training")
    check_block(parameters["extract"], keywords(CODE / "extraction.py", "extract_features"), "extract")
    for name, block in parameters["datasets"].items():
        _check_dataset(name, block, root, active=name == parameters["data"].get("name"))
    _check_dataset(parameters["data"]["name"], parameters["data"], root, active=True)
    data_kinds.check_data(parameters)
    groups.check_groups(parameters)
    for name, block in parameters["pretrain"].items():
        _check_pretrain(f"pretrain.{name}", block)
    _check_clusterfit(parameters)
    encoder_checks.check_runs(parameters, root)
    sets.check_sets(parameters)
    maps.check_maps(parameters)
    for name, block in parameters["transfer"].items():
        _check_protocol(name, block, {}, f"transfer.{name}")
    for name, block in parameters["targets"].items():
        _check_target(name, block, parameters, root)
    retries.read(parameters)
    schedules.check_schedules(parameters, root)


def check_blocks(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError if a block is unknown, missing, or not what such a block is made of."""
    for block in parameters:
        if block not in BLOCKS:
            raise unknown("block", block, BLOCKS, "params.yaml")
    data_kinds.check_kinds(parameters)
    for block in BLOCKS:
        if block not in parameters and block not in OPTIONAL:
            raise ParameterError(f"params.yaml: the block '{block}' is missing.")
    if wrong := problem("seed", parameters["seed"], "int"):
        raise ParameterError(f"params.yaml: seed{wrong}")
    _check_names(parameters)


def _check_protocol(protocol: Any, block: Mapping[str, Any], own: Mapping[str, Field], where: str) -> None:
    """Refuses an unknown protocol and settings that it does not have. own: further fields of the block."""
    check_module(CODE / "protocols", "protocol", protocol, where, function="evaluate")
    fields = keywords(CODE / "protocols" / f"{protocol}.py", "evaluate")
    fields.pop("seed", None)
    check_block(block, {**fields, **own}, where)


def _check_target(name: str, block: Mapping[str, Any], parameters: Mapping[str, Any], root: Path) -> None:
    where = f"targets.{name}"
    data = _known_data(block.get("data"), parameters, f"{where}.data", "scenes")
    if name == TRAINING:
        raise ParameterError(f"{where}: the name '{TRAINING}' is that of a training's record; choose another.")
    _check_dataset(data["name"], data, root, active=True)
    _check_protocol(block.get("protocol", ""), block, TARGET, where)
    check_truth(CODE, block["protocol"], data, where)


def _known_data(block: Any, parameters: Mapping[str, Any], where: str, example: str) -> Mapping[str, Any]:
    """A block that is one of the blocks under `datasets`; an alias (`*scenes`) makes it one."""
    name = block.get("name") if isinstance(block, Mapping) else None
    if not isinstance(name, str) or name not in parameters["datasets"]:
        known = ", ".join(sorted(parameters["datasets"]))
        raise ParameterError(
            f"{where} must be one of the blocks under 'datasets', as in `data: *{example}`; it is {shown(block)}. "
            f"Known: {known}."
        )
    return dict(block)


def _check_names(parameters: Mapping[str, Any]) -> None:
    for block in ("machine", "encoder", "training", "extract"):
        if not isinstance(parameters[block], dict):
            raise ParameterError(f"params.yaml: '{block}' must be a mapping of settings.")
    for block in ("datasets", "pretrain", "clusterfit", "transfer", "targets"):
        check_names(parameters[block], block)
    if twice := sorted(set(parameters["pretrain"]) & set(parameters["clusterfit"])):
        raise ParameterError(
            f"'{twice[0]}' is a run in both pretrain and clusterfit; the name of a run must be unique."
        )
    if twice := sorted(set(parameters["transfer"]) & set(parameters["targets"])):
        raise ParameterError(f"'{twice[0]}' is in both transfer and targets; the name of a protocol must be unique.")
    if "targets" in parameters["datasets"]:
        raise ParameterError("datasets.targets: the name 'targets' is reserved for a folder of Covey; choose another.")
    _known_data(parameters["data"], parameters, "params.yaml: 'data'", "world")


def _check_dataset(name: str, block: Mapping[str, Any], root: Path, *, active: bool) -> None:
    where = f"datasets.{name}"
    for key, field in DATASET.items():
        if not field.accepts(block.get(key)):
            raise ParameterError(f"{where}: '{key}' is missing or not a string.")
    if block["name"] != name:
        raise ParameterError(f"{where}: its 'name' is {shown(block['name'])}; it must be '{name}'.")
    check_module(CODE / "datasets", "reader", block["reader"], f"{where}.reader", function="load")
    check_block(block, DATASET | OPTIONS | other_reader.settings(block["reader"]), where)
    if wrong := picture_problem(block):
        raise ParameterError(f"{where}: {wrong}")
    if recipes.RECIPE in block:
        recipes.check(block[recipes.RECIPE], f"{where}.{recipes.RECIPE}")
    other_reader.check(block, where)
    try:
        if active and (gone := source_places.missing(root, block["source"])) is not None:
            raise ParameterError(f"{where}.source: there is no {shown(gone)}.")
        source_places.check_source(root, block["source"], where)
    except ParameterError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a NUL, the home of nobody
        raise ParameterError(
            f"{where}.source: {shown(block['source'])} is no path: {' '.join(str(error)[-100:].split())}."
        ) from None


def _check_pretrain(where: str, block: Mapping[str, Any]) -> None:
    method = block.get("method")
    if not isinstance(method, str):
        raise ParameterError(f"{where}: 'method' is missing; it names a file in ssl_models/methods.")
    check_module(CODE / "methods", "method", method, f"{where}.method", offer="METHOD")
    check_block(block, SHARED | training_fields() | method_fields(method), where)


def _check_clusterfit(parameters: Mapping[str, Any]) -> None:
    blocks = parameters["clusterfit"]
    for name, block in blocks.items():
        _check_refit(f"clusterfit.{name}", block)
    ends: set[str] = set()  # runs whose sources are known to end in a pretraining
    for name, block in blocks.items():
        where = f"clusterfit.{name}"
        if block["source"] not in parameters["pretrain"] and block["source"] not in blocks:
            known = [*parameters["pretrain"], *blocks]
            raise unknown("run", block["source"], known, f"{where}.source")
        chain, run = {name: None}, block["source"]
        while run in blocks and run not in ends:
            if run in chain:
                raise ParameterError(f"{where}: its sources form a cycle: {' <- '.join([*chain, run])}.")
            chain[run] = None
            run = blocks[run]["source"]
        ends.update(chain)


def _check_refit(where: str, block: Mapping[str, Any]) -> None:
    """A refit learns from clusters, and then has settings of the clustering; or from its source's own classes, or it
    goes on with its source's weights."""
    method = method_of(block)
    check_module(CODE / "methods", "method", method, f"{where}.method", offer="METHOD")
    clusters = cluster_fields()
    outputs = block.get("outputs", CLUSTERS)
    if outputs not in OUTPUTS:
        raise unknown("kind of outputs", outputs, OUTPUTS, f"{where}.outputs")
    if outputs == WEIGHTS and "method" not in block:
        raise ParameterError(f"{where}: 'method' is missing; it names what goes on with the weights of the source.")
    if WEIGHTS in method_fields(method):
        raise ParameterError(
            f"{where}.method: '{method}' takes weights from elsewhere and learns from no source; move it to pretrain."
        )
    fields = {"source": Field("str", True), **SHARED, "outputs": Field("str", False), **training_fields()}
    fields |= clusters | softening_fields() if outputs == CLUSTERS else {}
    check_block(block, fields | method_fields(method), where)
    if "outputs" in block and block.get("components"):
        raise ParameterError(f"{where}.components: soft outputs need the features without a projection; remove it.")


def training_fields() -> dict[str, Field]:
    """The settings of a training, of which the block `training` has all; a stage makes a number of "auto"."""
    return keywords(CODE / "training_settings.py", "Settings") | {"batch_size": Field("int | str", False)}


def cluster_fields() -> dict[str, Field]:
    """The settings of `ssl_models.clustering.cluster`, without those that the stage itself passes."""
    fields = keywords(CODE / "clustering.py", "cluster")
    return {name: field for name, field in fields.items() if name not in ("seed", "threads")}


def softening_fields() -> dict[str, Field]:
    """The settings of `ssl_models.clustering.soft_assignments`, which makes soft outputs of a clustering."""
    return keywords(CODE / "clustering.py", "soft_assignments")


def pick(block: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """The settings of `block` that belong to `fields`."""
    return {name: value for name, value in block.items() if name in fields}


def pick_out(block: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """The settings of `block` that do not belong to `fields`."""
    return {name: value for name, value in block.items() if name not in fields}


__all__ = ["ParameterError", "check_parameters", "load", "pick"]
