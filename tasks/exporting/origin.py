"""Where an encoder comes from: its data, its training, what it learnt from, and its scores. Nothing here is heavy."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.project.project import Project
from tasks.reporting import records, tables
from tasks.reporting.runs import Run
from tasks.selection.scope import with_sources
from tasks.settings.encoders import block_of, starting_weights
from tasks.settings.refits import CLASSES, CLUSTERS, continues, method_of
from tasks.settings.schema import CODE, ParameterError
from tasks.staleness.recorded import recorded, training_stage
from tasks.tracking import release

GENERAL = ("training", "seed", "machine")
"""Blocks of params.yaml that every training depends on, besides its own."""


@dataclass(frozen=True)
class Origin:
    """lineage: the run, what it learnt from, and so on, each in a sentence. weights: from elsewhere, by their names.

    settings: by the names in params.yaml, as the training had them. prepare: what the data set's preparation recorded.
    scores: a row a measure. old_scores: measured on an earlier training, and so left out.
    """

    data: str
    run: Run
    prepare: Mapping[str, Any]
    lineage: tuple[str, ...]
    weights: tuple[str, ...]
    settings: Mapping[str, Any]
    scores: tuple[tuple[str, str, str, str], ...]
    old_scores: tuple[str, ...]
    covey: str
    commit: str


def origin(project: Project, run: str) -> Origin:
    """All that is recorded. Raises ParameterError for a record that cannot be used."""
    parameters = project.parameters
    names = with_sources([run], parameters["clusterfit"])
    own = {block: {n: b for n, b in parameters[block].items() if n in names} for block in ("pretrain", "clusterfit")}
    try:
        (data,) = records.collect(project, {**parameters, **own}, {})
    except ValueError as error:
        raise ParameterError(str(error)) from None
    found = next(each for each in data.runs if each.name == run)
    lineage = data.lineage(found)
    old = _old(project, run, [name for name in data.protocols if found.scores(name)])
    return Origin(
        data.name,
        found,
        data.prepare,
        tuple(_told(parameters, each) for each in lineage),
        tuple(filter(None, (_weights(parameters, each) for each in lineage))),
        _settings(project, run),
        tuple(_scores(data, found, old)),
        old,
        release.number() or "of an unknown version",
        release.commit(),
    )


def _told(parameters: Mapping[str, Any], run: Run) -> str:
    """How a run was trained, in a sentence."""
    if run.source is None:
        method = str(parameters["pretrain"][run.name]["method"])
        return f"`{run.name}`: trained by `{method}`. {_about(method)}"
    block = parameters["clusterfit"][run.name]
    method = method_of(block)
    if continues(block):
        return f"`{run.name}`: `{run.source}`, trained on by `{method}`. {_about(method)}"
    outputs = "classes" if block.get("outputs", CLUSTERS) == CLASSES else "clusters"
    return (
        f"`{run.name}`: a fresh network, trained by `{method}` on the {outputs} that `{run.source}` tells apart "
        "(ClusterFit, Yan et al. 2020, arXiv:1912.03330)."
    )


def _weights(parameters: Mapping[str, Any], run: Run) -> str:
    """The name of the weights from elsewhere that a run started from; "" where there are none."""
    told = run.training.get("weights") or starting_weights(block_of(parameters, run.name))
    return "" if run.continued else _name(told)


def _about(method: str) -> str:
    """The first line of a method's file, which says what it is and where from."""
    stated = ast.get_docstring(ast.parse((CODE / "methods" / f"{method}.py").read_text())) or ""
    return stated.partition("\n")[0]


def _settings(project: Project, run: str) -> dict[str, Any]:
    """As dvc.lock tells that the training had them; as params.yaml does, where it was not run here."""
    parameters, stage = project.parameters, training_stage(project, run)
    block = f"{stage.partition('@')[0]}.{run}"
    now: dict[str, Any] = {block: block_of(parameters, run), **{name: parameters.get(name) for name in GENERAL}}
    found = recorded(project, [stage])[stage].settings or now
    return {name: without_folders(found[name]) for name in (block, *GENERAL) if name in found}


def without_folders(value: Any) -> Any:
    """A setting without the folders of the paths in it, which are of the machine."""
    if isinstance(value, Mapping):
        return {name: without_folders(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(own) for own in value]
    return _name(value) if isinstance(value, str) else value


def _name(text: str | None) -> str:
    return Path(text.replace("\\", "/")).name or "/" if text else ""


def _old(project: Project, run: str, protocols: list[str]) -> tuple[str, ...]:
    """The protocols whose scores are of an encoder that another training has made, as far as dvc.lock tells."""
    training, refit = training_stage(project, run), "_clusterfit" * (run in project.parameters["clusterfit"])
    kinds = {name: "transfer_target" if name in project.parameters["targets"] else "transfer" for name in protocols}
    stages = {name: f"{kind}{refit}@{run}-{name}" for name, kind in kinds.items()}
    found = recorded(project, [training, *stages.values()])
    path = project.places.encoder(run).relative_to(project.root).as_posix()
    made = found[training].written.get(path)
    return tuple(n for n, stage in stages.items() if made and found[stage].read.get(path, made) != made)


def _scores(data: tables.DataSet, run: Run, old: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    """(measure, score, interval, layer): of the vector, which is the last layer, and the best layer besides."""
    rows = []
    for shown in tables.headline_measures(data):
        chosen = [tables.last(run, shown), tables.best(run, shown)] if shown.protocol not in old else []
        for score in dict.fromkeys(filter(None, chosen)):
            interval = shown.interval(score.low, score.high) or "–"
            value = f"{shown.number(score.value)}{shown.unit}"
            rows.append((tables.metric_name(shown), value.replace("\u00a0", " "), interval, score.layer or "–"))
    return rows
