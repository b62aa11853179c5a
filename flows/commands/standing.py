"""`covey status` and `covey dag`: the stages, which of them are out of date, and what they read from."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows import command, completion
from flows.errors import refusals
from flows.opening import opened
from flows.run import dag as graph_of
from flows.run import plan


def status(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: the state of each stage, and the reasons.")
    ] = False,
) -> None:
    """Shows which stages are up to date, and why the others are not. It runs no stage.

    Examples:

        covey status

        covey status --json | jq 'map_values(.state)'

    `stale`: an input of the stage has changed. `waiting`: a stage that it depends on is stale; it runs only if the
    output of that stage changes. `fresh`: up to date.
    """
    with refusals():
        project = opened()
        states = plan.standing(project)
    if as_json:
        print(json.dumps({name: asdict(entry) for name, entry in states.items()}, indent=1))
        return
    table = Table("stage", "state", "why", box=None, pad_edge=False, header_style="bold")
    colours = {"fresh": "green", "stale": "red", "waiting": "yellow"}
    for name, entry in states.items():
        table.add_row(name, f"[{colours[entry.state]}]{entry.state}[/]", escape("; ".join(entry.reasons)))
    Console(width=None if sys.stdout.isatty() else 200).print(table)  # for a pipe: one line a stage
    behind = sum(entry.state != "fresh" for entry in states.values())
    verdict = f"{behind} of {len(states)} stages to run: covey run" if behind else f"All {len(states)} are up to date."
    print(f"{verdict}{command.others(project.parameters)}")


def dag(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            autocompletion=completion.targets,
            help="As for `covey run`. Default: what is selected.",
        ),
    ] = None,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print the graph in Graphviz's language.")] = False,
) -> None:
    """Shows the stages in their order, each with the stages that it reads from.

    Examples:

        covey dag rotation

        covey dag --dot | dot -Tsvg > dag.svg
    """
    with refusals():
        parents = graph_of.selected(opened(), targets or ())
    print(graph_of.dot(parents) if as_dot else graph_of.words(parents))
