"""`covey sweep` runs a grid or a search of settings as DVC experiments; `covey study` tests a claim with a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from flows import completion
from flows.errors import FAILED, refusals, run_lock
from flows.opening import opened
from flows.sweep import execution
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.settings.values import WHOLE
from tasks.studies import board
from tasks.studies import study as studies
from tasks.sweeps import points
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Sweep

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only list the points, the stages that each would run, and the expected time.")
]
Jobs = Annotated[
    int | None, typer.Option(min=1, max=WHOLE["jobs"][1], help="How many points may run at the same time.")
]


def sweep(
    name: Annotated[
        str, typer.Argument(autocompletion=completion.sweeps, help="The name of a file in `sweeps/`, without .yaml.")
    ],
    dry_run: DryRun = False,
    jobs: Jobs = None,
) -> None:
    """Runs a grid of settings, or a search over a space of settings. Each point is a DVC experiment.

    Examples:

        covey sweep clusters --dry-run

        covey sweep clusters

        covey sweep recipe

    Points that have been run before are not run again, and stages that points share run once: DVC's cache has the rest.
    If a point fails, the others still run. After Ctrl-C, the same command continues. The exit codes are those of
    `covey run`.
    """
    with refusals():
        failed = run_sweep(opened(), name, dry_run=dry_run, jobs=jobs)
    if failed:
        raise typer.Exit(FAILED)


def run_sweep(project: Project, name: str, *, dry_run: bool, jobs: int | None) -> bool:
    """Runs a sweep or a search, or with `dry_run` lists its points. Returns whether a point failed."""
    asked = sweeps.load(project, name)
    return (_search if asked.search else _grid)(project, asked, dry_run, jobs)


def study(
    names: Annotated[
        list[str] | None,
        typer.Argument(autocompletion=completion.studies, help="Names of files in `studies/`, without .yaml."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All studies.")] = False,
    full: Annotated[bool, typer.Option("--full", help="At full size, which needs a GPU and real data.")] = False,
    dry_run: DryRun = False,
    jobs: Jobs = None,
) -> None:
    """Tests a claim of the literature: runs a sweep and judges it by the rule in the study's file.

    Examples:

        covey study label_noise

        covey study --all

        covey study --all --full --dry-run

    The verdicts are written to results/studies/. The page results/studies.html shows them beside the published numbers.
    """
    with refusals():
        project = opened()
        if everything and names:
            raise ParameterError(f"--all is every study; leave it out for {', '.join(names)} alone, or the names.")
        wanted = studies.known(project) if everything else list(dict.fromkeys(names or []))
        if not wanted:
            raise ParameterError(f"name a study ({', '.join(studies.known(project))}), or give --all.")
        asked = [studies.load(project, name, "full" if full else "quick") for name in wanted]
        work = [(one.sweep, points.points(project, one.sweep)) for one in asked]
        if dry_run:
            execution.show_plan(project, [point for _, every in work for point in every])
            return
        with run_lock(project):
            failed = _run(project, work, jobs)
            for one, (_, every) in zip(asked, work, strict=True):
                records = execution.finish(project, one.sweep, every)
                if len(records) == len(every):
                    board.file(project, studies.judge(one, records))
            execution.tell_verdicts(project, wanted)
    if failed:
        raise typer.Exit(FAILED)


def _grid(project: Project, asked: Sweep, dry_run: bool, jobs: int | None) -> bool:
    """Runs a grid, or with `dry_run` lists its points. Returns whether a point failed."""
    every = points.points(project, asked)
    if dry_run:
        execution.show_plan(project, every)
        return False
    with run_lock(project):
        failed = _run(project, [(asked, every)], jobs)
        execution.tell(project, asked, execution.finish(project, asked, every))
    return failed


def _search(project: Project, asked: Sweep, dry_run: bool, jobs: int | None) -> bool:
    """Runs a search, or with `dry_run` prints its state. Returns whether a trial failed."""
    from flows.sweep import search

    if dry_run:
        search.show_plan(project, asked)
        return False
    with run_lock(project):
        return search.run_search(project, asked, jobs)


def _run(project: Project, work: Sequence[tuple[Sweep, Sequence[Point]]], jobs: int | None) -> bool:
    """Runs the points that have no record yet. Returns whether one failed."""
    every = [point for _, points in work for point in points]
    new = execution.todo(project, every)
    if not new:
        print(f"Nothing to run: all {len(every)} points are done.")
        return False
    print(f"{len(new)} of {len(every)} points to run.", flush=True)
    names = {point.sweep for point in new}
    ending = execution.run_points(project, [sweep for sweep, _ in work if sweep.name in names], new, jobs)
    execution.tell_failures(ending)
    return bool(ending.failed)
