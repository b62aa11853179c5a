"""The pipeline's graph in words, and in Graphviz's language: what `dvc dag` takes most of a minute for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flows.run import plan
from tasks.project.project import Project
from tasks.selection.scope import scope
from tasks.staleness import pipeline
from tasks.staleness.graph import with_ancestors

Parents = Mapping[str, tuple[str, ...]]


def selected(project: Project, targets: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Each selected stage, parents before children -> its parents. targets: those and what they depend on.

    Raises:
        ParameterError: a target that names no stage.
    """
    chosen = scope(project.parameters)
    graph = plan.narrow(pipeline.graph(project), chosen)
    wanted = plan.resolve(graph, targets, chosen) or tuple(name for name in graph if plan.in_scope(name, chosen))
    found = with_ancestors(graph, wanted)
    return {name: stage.parents for name, stage in graph.items() if name in found}


def words(parents: Parents) -> str:
    """A line a stage: its name, and the stages that it reads from."""
    width = max(map(len, parents), default=0)
    return "\n".join(f"{name:<{width}}  {', '.join(own)}".rstrip() for name, own in parents.items())


def dot(parents: Parents) -> str:
    """The graph for `dot -Tsvg`, from left to right."""
    nodes = [f'  "{name}"' for name in parents]
    arrows = [f'  "{parent}" -> "{name}"' for name, own in parents.items() for parent in own]
    return "\n".join(["digraph covey {", "  rankdir=LR", "  node [shape=box]", *nodes, *arrows, "}"])
