"""What one call of `covey run` has to do, decided before anything slow is imported or started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.project import paths
from tasks.project.project import Project
from tasks.selection.scope import Scope
from tasks.selection.scope import scope as selected
from tasks.settings.schema import unknown
from tasks.staleness import pipeline
from tasks.staleness.graph import Graph, Stage, affected, with_ancestors
from tasks.staleness.status import stale

REPORT = "report"
EVERYTHING = Scope()


@dataclass(frozen=True)
class Plan:
    """Stages to run, in topological order.

    Attributes:
        graph: every stage of the project.
        names: the stages to run.
        forced: those of them that run even where nothing has changed.
        scope: how many stages the targets stand for, fresh ones and ancestors included.
        targets: the words that were asked for.
    """

    graph: Graph
    names: tuple[str, ...]
    forced: frozenset[str]
    scope: int
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """How a stage is, and why: `stale` if something it reads has changed, `waiting` below such a one, or `fresh`."""

    state: str
    reasons: list[str]


def make(project: Project, targets: Sequence[str] = (), *, force: bool = False) -> Plan:
    """The stale stages among the targets and their ancestors, with what hangs below them there.

    Runs and protocols that are not selected are worked on only where a target names nothing else. Forced are the
    targets themselves, or everything where there are none; not the targets' ancestors. The report is forced where its
    page is gone, which DVC does not know of.

    Raises:
        ParameterError: a target that stands for no stage.
    """
    scope = selected(project.parameters)
    graph = narrow(pipeline.graph(project), scope)
    wanted = resolve(graph, targets, scope) or tuple(name for name in graph if in_scope(name, scope))
    forced = frozenset(wanted) if force else frozenset()
    if REPORT in wanted and not (project.root / paths.REPORT).exists():
        forced |= {REPORT}
    ancestors = with_ancestors(graph, wanted)
    everything = [name for name in graph if name in ancestors]
    changed = {*stale(project, graph, everything), *forced}
    return Plan(graph, tuple(affected(graph, changed, wanted)), forced, len(everything), tuple(targets))


def standing(project: Project) -> dict[str, Standing]:
    """How each selected stage stands."""
    scope = selected(project.parameters)
    graph = narrow(pipeline.graph(project), scope)
    names = [name for name in graph if in_scope(name, scope)]
    found = states(graph, stale(project, graph, names))
    return {name: found[name] for name in names}


def belongs(name: str) -> tuple[str, str]:
    """The run and the protocol that a stage works on, each empty where there is none."""
    command, _, key = name.partition("@")
    if command == "prepare_target":
        return "", key
    run, _, protocol = key.partition("-")
    return run, protocol


def in_scope(name: str, scope: Scope) -> bool:
    """Whether a stage belongs to what is selected, or to no run and no protocol at all."""
    selected = zip(belongs(name), (scope.runs, scope.protocols), strict=True)
    return all(not part or parts is None or part in parts for part, parts in selected)


def narrow(graph: Graph, scope: Scope) -> dict[str, Stage]:
    """The graph, in which stages that belong to no run, as the report does, wait for what is selected only."""
    return {
        name: stage
        if any(belongs(name))
        else replace(stage, parents=tuple(parent for parent in stage.parents if in_scope(parent, scope)))
        for name, stage in graph.items()
    }


def resolve(graph: Graph, words: Iterable[str], scope: Scope = EVERYTHING) -> tuple[str, ...]:
    """The stages that some words stand for, in the graph's order: those that are selected, if a word has any there.

    A word is a stage's name, its command (`pretrain`), its kind (`train`), or a run or protocol in its name:
    `rotation`, `linear`, `rotation-linear`.

    Raises:
        ParameterError: a word that stands for no stage; names the closest that does.
    """
    found: set[str] = set()
    for word in words:
        matches = [name for name, stage in graph.items() if _stands_for(word, name, stage.kind)]
        if not matches:
            raise unknown("target", word, _known_words(graph), "covey run")
        found.update([name for name in matches if in_scope(name, scope)] or matches)
    return tuple(name for name in graph if name in found)


def states(graph: Graph, stale: Mapping[str, Sequence[str]]) -> dict[str, Standing]:
    """How each stage stands, in the graph's order."""
    table: dict[str, Standing] = {}
    for name, stage in graph.items():
        first = [parent for parent in stage.parents if table[parent].state != "fresh"]
        if name in stale:
            table[name] = Standing("stale", list(stale[name]))
        elif first:
            table[name] = Standing("waiting", [f"{parent} comes first" for parent in first])
        else:
            table[name] = Standing("fresh", [])
    return table


def priorities(plan: Plan, weights: Mapping[str, float]) -> dict[str, float]:
    """For each planned stage the weight of the heaviest path from it to an end, itself included."""
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
