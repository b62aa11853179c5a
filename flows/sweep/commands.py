"""`covey sweep` and `covey study`: a grid or a search of settings as DVC experiments, and a claim judged by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from flows.errors import FAILED, refusals, run_lock
from flows.sweep import execution
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.studies import board
from tasks.studies import study as studies
from tasks.sweeps import points
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Sweep

DryRun = Annotated[bool, typer.Option("--dry-run", help="List the points, the stages each would run, and the time.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="How many points may be at work at once.")]


def sweep(
    name: Annotated[str, typer.Argument(help="A file of `sweeps/`, without its ending.")],
    dry_run: DryRun = False,
    jobs: Jobs = None,
) -> None:
    """Runs every point of a grid of settings that has not been run, each as a DVC experiment; or searches a space.

    Examples:

        covey sweep clusters --dry-run

        covey sweep clusters

        covey sweep recipe

    What a point has in common with another, or with anything run before, is taken from DVC's cache. A point that
    fails fails alone. Stop it as you like: the next call goes on. Exit codes as for `covey run`.
    """
    with refusals():
        failed = run_sweep(Project.find(), name, dry_run=dry_run, jobs=jobs)
    if failed:
        raise typer.Exit(FAILED)


def run_sweep(project: Project, name: str, *, dry_run: bool, jobs: int | None) -> bool:
    """Runs a sweep or a search, or prints what that would be; whether a point failed."""
    asked = sweeps.load(project, name)
    return (_search if asked.search else _grid)(project, asked, dry_run, jobs)


def study(
    names: Annotated[list[str] | None, typer.Argument(help="Files of `studies/`, without their endings.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every study there is.")] = False,
    full: Annotated[bool, typer.Option("--full", help="At full size: a GPU and real data.")] = False,
    dry_run: DryRun = False,
    jobs: Jobs = None,
) -> None:
    """Checks a claim of the literature: runs its sweep, and gives the verdict by the rule that its file states.

    Examples:

        covey study label_noise

        covey study --all

        covey study --all --full --dry-run

    The verdicts lie in results/studies/, and as a page with the published numbers in results/studies.html.
    """
    with refusals():
        project = Project.find()
        wanted = studies.known(project) if everything else list(names or [])
        if not wanted:
            raise ParameterError(f"which study? {', '.join(studies.known(project))}; or --all.")
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
    """Runs a grid, or prints what that would be; whether a point failed."""
    every = points.points(project, asked)
    if dry_run:
        execution.show_plan(project, every)
        return False
    with run_lock(project):
        failed = _run(project, [(asked, every)], jobs)
        execution.tell(project, asked, execution.finish(project, asked, every))
    return failed


def _search(project: Project, asked: Sweep, dry_run: bool, jobs: int | None) -> bool:
    """Runs a search, or prints what is known of it; whether a trial failed."""
    from flows.sweep import search

    if dry_run:
        search.show_plan(project, asked)
        return False
    with run_lock(project):
        return search.carry_out(project, asked, jobs)


def _run(project: Project, work: Sequence[tuple[Sweep, Sequence[Point]]], jobs: int | None) -> bool:
    """Runs what is new in the sweeps; whether a point failed."""
    every = [point for _, points in work for point in points]
    new = execution.todo(project, every)
    if not new:
        print(f"Nothing is new: all {len(every)} points have been run.")
        return False
    print(f"{len(new)} of {len(every)} points to run.", flush=True)
    names = {point.sweep for point in new}
    ending = execution.carry_out(project, [sweep for sweep, _ in work if sweep.name in names], new, jobs)
    execution.tell_failures(ending)
    return bool(ending.failed)
