"""Decides which stages `covey run` has to run, before anything slow is imported or started."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.project import paths
from tasks.project.project import Project
from tasks.reporting import imprint
from tasks.selection.scope import Scope
from tasks.selection.scope import scope as selected
from tasks.settings.encoder_stages import runs_encoder
from tasks.settings.schema import unknown
from tasks.staleness import pipeline
from tasks.staleness.graph import Graph, Stage, affected, with_ancestors
from tasks.staleness.status import stale

REPORT = "report"
EVERYTHING = Scope()
Changed = Callable[[Project, Graph, Collection[str]], Mapping[str, Sequence[str]]]
"""Stages, by name -> why they are stale."""


@dataclass(frozen=True)
class Plan:
    """Stages to run, in topological order.

    Attributes:
        graph: every stage of the project.
        names: the stages to run.
        forced: the planned stages that run even if nothing has changed.
        scope: the number of all stages that the targets include, with their ancestors, stale or not.
        targets: the targets as the user gave them.
        on_device: the planned stages that run an encoder, and need a GPU where there are any.
    """

    graph: Graph
    names: tuple[str, ...]
    forced: frozenset[str]
    scope: int
    targets: tuple[str, ...] = ()
    on_device: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Standing:
    """The state of a stage and the reasons: `stale` (an input changed), `waiting` (an ancestor is stale) or `fresh`."""

    state: str
    reasons: list[str]


def make(
    project: Project,
    targets: Sequence[str] = (),
    *,
    force: bool = False,
    graph: Graph | None = None,
    changed: Changed | None = None,
) -> Plan:
    """The stale stages among the targets and their ancestors, and the descendants of those stages among them.

    Runs and protocols that are not selected are included only if a target names nothing else. `force` applies to the
    targets, or to everything if there are none, but not to ancestors of the targets. The report is also forced if its
    page is missing or incomplete, because DVC does not track the page.

    graph, changed: of a run that is only planned, what stages there are and which of them are stale; by default what
    dvc.yaml and DVC say.

    Raises:
        ParameterError: a target that names no stage.
    """
    scope = selected(project.parameters)
    every = pipeline.graph(project) if graph is None else graph
    graph = narrow(every, scope)
    wanted = resolve(graph, targets, scope) or tuple(name for name in graph if in_scope(name, scope))
    graph = narrow(every, scope, with_ancestors(graph, wanted))
    forced = frozenset(wanted) if force else frozenset()
    if REPORT in wanted and without_page(project):
        forced |= {REPORT}
    ancestors = with_ancestors(graph, wanted)
    everything = [name for name in graph if name in ancestors]
    behind = {*(changed or stale)(project, graph, everything), *forced}
    names = tuple(affected(graph, behind, wanted))
    on_device = frozenset(name for name in names if runs_encoder(name))
    return Plan(graph, names, forced, len(everything), tuple(targets), on_device)


def standing(project: Project) -> dict[str, Standing]:
    """The state of each selected stage."""
    scope = selected(project.parameters)
    graph = narrow(pipeline.graph(project), scope)
    names = [name for name in graph if in_scope(name, scope)]
    changed = stale(project, graph, names)
    if REPORT in names and (reason := without_page(project)):
        changed[REPORT] = [*changed.get(REPORT, []), reason]
    found = states(graph, changed)
    return {name: found[name] for name in names}


def without_page(project: Project) -> str:
    """Why the report must be made though DVC may hold it for up to date; empty if its page is there and complete."""
    if not (project.root / paths.REPORT).exists():
        return f"{paths.REPORT} is missing"
    own = imprint.read(project)
    return f"{paths.REPORT} is incomplete" if own and own.incomplete else ""


def belongs(name: str) -> tuple[str, str]:
    """The run and the protocol of a stage; empty if it has none."""
    command, _, key = name.partition("@")
    if command == "prepare_target":
        return "", key
    run, _, protocol = key.partition("-")
    return run, protocol


def in_scope(name: str, scope: Scope) -> bool:
    """Whether the run and the protocol of a stage, if it has any, are selected."""
    selected = zip(belongs(name), (scope.runs, scope.protocols), strict=True)
    return all(not part or parts is None or part in parts for part, parts in selected)


def narrow(graph: Graph, scope: Scope, named: Collection[str] = ()) -> dict[str, Stage]:
    """The graph, in which stages without a run, such as the report, only depend on selected stages.

    They also wait for the `named` ones: what these write would change under their hands.
    """
    found: dict[str, Stage] = {}
    for name, stage in graph.items():
        kept = tuple(parent for parent in stage.parents if parent in named or in_scope(parent, scope))
        found[name] = stage if any(belongs(name)) else replace(stage, parents=kept)
    return found


def resolve(graph: Graph, words: Iterable[str], scope: Scope = EVERYTHING) -> tuple[str, ...]:
    """The stages that the words name, in the graph's order. If a word names selected stages, only those.

    A word is the name of a stage, a command (`pretrain`), a kind (`train`), a run (`rotation`), a protocol (`linear`),
    or both (`rotation-linear`).

    Raises:
        ParameterError: a word that names no stage; the error suggests the closest word.
    """
    found: set[str] = set()
    for word in words:
        matches = [name for name, stage in graph.items() if _stands_for(word, name, stage.kind)]
        if not matches:
            raise unknown("target", word, _known_words(graph), "covey run")
        found.update([name for name in matches if in_scope(name, scope)] or matches)
    return tuple(name for name in graph if name in found)


def states(graph: Graph, stale: Mapping[str, Sequence[str]]) -> dict[str, Standing]:
    """The state of each stage, in the graph's order."""
    table: dict[str, Standing] = {}
    for name, stage in graph.items():
        first = [parent for parent in stage.parents if parent in table and table[parent].state != "fresh"]
        if name in stale:
            table[name] = Standing("stale", list(stale[name]))
        elif first:
            table[name] = Standing("waiting", [f"{parent} comes first" for parent in first])
        else:
            table[name] = Standing("fresh", [])
    return table


def priorities(plan: Plan, weights: Mapping[str, float]) -> dict[str, float]:
    """For each planned stage, the weight of the heaviest path from it to a last stage, itself included."""
    heaviest = dict.fromkeys(plan.names, 0.0)
    for name in reversed(plan.names):
        heaviest[name] += weights[plan.graph[name].kind]
        for parent in plan.graph[name].parents:
            if parent in heaviest:
                heaviest[parent] = max(heaviest[parent], heaviest[name])
    return heaviest


def _stands_for(word: str, name: str, kind: str) -> bool:
    command, _, key = name.partition("@")
    return word in (name, command, kind) or (bool(key) and f"-{word}-" in f"-{key}-")


def _known_words(graph: Graph) -> set[str]:
    words: set[str] = set()
    for name in graph:
        command, _, key = name.partition("@")
        words.update({command, *key.split("-")} - {""})
    return words
