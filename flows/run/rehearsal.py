"""`covey run --dry-run`: what a run would do and take. It runs nothing, and edits neither params.yaml nor dvc.lock."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.run import estimate, plan
from flows.run.estimate import Forecast
from tasks.estimates.earlier import Estimate
from tasks.process.amounts import size
from tasks.process.duration import duration
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage import fork_server
from tasks.stage.apart import CallFailed, call
from tasks.staleness import code_hash, pipeline, status
from tasks.staleness.declaration import value
from tasks.staleness.dvc_errors import PipelineError
from tasks.staleness.graph import Graph

OTHER_DATA = "another data set is selected"
OVERHEAD = 2.0
"""Seconds that a training takes beside its steps, about, where only a trial is known of it."""


def rehearse(project: Project, targets: Sequence[str] = (), jobs: int | None = None, *, force: bool = False) -> None:
    """Prints the stages that a run would do, why, and what each takes. project: with the parameters of that run.

    Raises:
        ParameterError: a target that names no stage.
    """
    code = code_hash.fingerprints(project.root, project.parameters)
    work, reasons = _planned(project, targets, force, code)
    if not work.names:
        print(f"Nothing is stale: {work.scope} stages are up to date.")
        return
    sizes: dict[str, float] = {}
    trials: dict[str, Estimate] = {}
    found = estimate.forecast(project, work, jobs, code=code)
    if found.unknown:
        fresh = "prepare" in work.names
        with fork_server.running(project) as environment:
            os.environ.update(environment)
            sizes = _asked(project, "tasks.checks.dry_run:sizes_under", project.parameters, found.unknown, fresh)
            trials = _tried(project, found, fresh)
        found = estimate.forecast(project, work, jobs, code=code, sizes=sizes, trials=trials)
    _show(work, reasons, found, sizes, trials)
    print(f"{len(work.names)} of {work.scope} stages to run: {found}")


def _planned(
    project: Project, targets: Sequence[str], force: bool, code: Mapping[str, Any]
) -> tuple[plan.Plan, dict[str, list[str]]]:
    """The plan of a run with these parameters and this code, and the reasons why stages are stale."""
    written = project.reread().parameters
    reasons: dict[str, list[str]] = {}

    def changed(_project: Project, graph: Graph, names: Collection[str]) -> dict[str, list[str]]:
        asked = [name for name in names if name in graph]
        selected, before = (content["data"]["name"] for content in (project.parameters, written))
        if selected != before:
            reasons.update({name: [f"{OTHER_DATA}: {selected}"] for name in asked})
            return reasons
        known = pipeline.graph(project.reread())
        reasons.update(_as_dvc_says(project, graph, known, asked, code))
        for name in asked:
            own = [words for key in graph[name].parameters for words in _differing(key, written, project.parameters)]
            own = ["new"] if name not in known else own
            if own:
                reasons[name] = [*own, *reasons.get(name, [])]
        return reasons

    graph = pipeline.graph(project) if _shape(project.parameters) == _shape(written) else None
    stages = pipeline.under(project.root, project.parameters) if graph is None else graph
    work = plan.make(project, targets, force=force, graph=stages, changed=changed)
    return replace(work, names=tuple(name for name in work.names if name != "code")), reasons


def _shape(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What shapes the graph, but for the selection of runs and protocols."""
    return {name: content for name, content in parameters.items() if name not in ("runs", "protocols", "datasets")}


def _differing(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs of a parameter, in DVC's words: "params.yaml data.size modified"."""
    old, new = (value(content, key) for content in (before, now))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                how = "modified" if name in old and name in new else "deleted" if name in old else "new"
                yield f"params.yaml {key}.{name} {how}"
    elif old != new:
        yield f"params.yaml {key} {'new' if old is None else 'deleted' if new is None else 'modified'}"


def _as_dvc_says(
    project: Project, graph: Graph, known: Graph, names: Collection[str], code: Mapping[str, Any]
) -> dict[str, list[str]]:
    """What DVC holds for changed, and what the code that has changed since code.json was written concerns.

    known: the stages that params.yaml has now, of which alone DVC can be asked.
    """
    noted = code_hash.read(project.root)
    found = status.stale(project.reread(), known, [name for name in names if name in known], bring_code=None)
    for name in names:
        changed = [key for key in graph[name].code if value(noted, key) != value(code, key)]
        if changed:
            found[name] = [*found.get(name, []), *(f"code.json {key} modified" for key in changed)]
    return found


def _tried(project: Project, found: Forecast, fresh: bool) -> dict[str, Estimate]:
    """Trials of the trainings of which nothing is known, each in a process of its own."""
    trials: dict[str, Estimate] = {}
    unknown = [name for name in found.unknown if name.startswith(("pretrain@", "clusterfit@"))]
    for name in unknown:
        print(f"trying two batches of {name}", file=sys.stderr, flush=True)
        answer = _asked(project, "tasks.checks.trial:of_training", project.parameters, name, fresh)
        if answer:
            trials[name] = Estimate(answer["seconds"] + OVERHEAD, answer.get("memory"))
    return trials


def _asked(project: Project, function: str, *arguments: Any) -> dict[str, float]:
    """What a function apart answers; nothing where it fails, which is said."""
    try:
        return dict(call(project, function, *arguments) or {})
    except (ParameterError, CallFailed, PipelineError) as error:
        print(f"this could not be estimated: {error}", file=sys.stderr, flush=True)
        return {}


def _show(
    work: plan.Plan,
    reasons: Mapping[str, Sequence[str]],
    found: Forecast,
    sizes: Mapping[str, float],
    trials: Mapping[str, Estimate],
) -> None:
    """A table, a row a stage."""
    table = Table("stage", "why", box=None, pad_edge=False, header_style="bold")
    for title in ("time", "memory", "disk"):
        table.add_column(title, justify="right")
    states = plan.states(work.graph, {name: list(why) for name, why in reasons.items()})
    for name in work.names:
        own = found.stages[name]
        disk = sizes.get(name) if own is None else own.disk
        why = "; ".join(states[name].reasons) or ("asked for" if name in work.forced else "")
        seconds = "not known" if own is None else duration(own.seconds)
        table.add_row(
            name,
            escape(why),
            "from the cache" if name in found.restored else f"{seconds} (trial)" if name in trials else seconds,
            "" if own is None or own.memory is None else size(own.memory),
            "" if not disk else size(disk),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
