"""What `covey sweep` and `covey study` share: planning points, running them, and printing tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from flows.prefect_server import loss, server
from tasks.estimates import earlier
from tasks.process.duration import duration
from tasks.project import paths
from tasks.project.project import Project
from tasks.stage.apart import call
from tasks.studies import board
from tasks.sweeps import points, results, search, settings
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Sweep
from tasks.tracking import pipeline_run

if TYPE_CHECKING:
    from flows.sweep.flow import Ending

    Runner = Callable[[Sequence[Sweep], Sequence[Point], int | None], Ending]


def todo(project: Project, every: Sequence[Point]) -> list[Point]:
    """The points that have no record yet, without duplicates."""
    found = {point.key: point for point in every if points.record(project, point) is None}
    return list(found.values())


def show_plan(project: Project, every: Sequence[Point]) -> None:
    """Prints each point with the stages that it would run, and the expected time."""
    known = points.known_stages(project)
    seen = set(known)
    table = Table("point", "state", "stages to run", box=None, pad_edge=False)
    names: list[str] = []
    for point in every:
        if points.record(project, point) is not None:
            table.add_row(str(point), "[green]done[/]", "")
            continue
        new = [name for name, identity in point.stages.items() if identity not in seen]
        seen.update(point.stages.values())
        names += new
        table.add_row(str(point), "[red]new[/]", ", ".join(new) or "none: all are in the cache")
    Console(width=None if sys.stdout.isatty() else 240).print(table)
    before = [earlier.Earlier(costs) for costs in (earlier.of_sweeps(known), earlier.of_project(project))]
    seconds, unknown = earlier.total(names, *before)
    rest = f", without {unknown} that have never run" if unknown else ""
    print(f"{len(names)} stages to run: about {duration(seconds)}, estimated from earlier runs{rest}.")


@contextmanager
def servers(project: Project) -> Iterator[Runner]:
    """Starts a Prefect server and a fork server for the block. Yields a function that runs points.

    Raises:
        ParameterError: MLflow's records cannot be used.
    """
    from tasks.stage import fork_server

    pipeline_run.refuse_unusable(project)
    with fork_server.running(project) as environment, server.running(project) as prefect:
        os.environ.update(environment)
        from flows.sweep.flow import run_sweeps

        prefect.wait_until_up()
        with loss.watched(prefect):
            yield lambda sweeps, new, jobs: run_sweeps(project, sweeps, new, jobs, environment)


def run_points(project: Project, sweeps: Sequence[Sweep], new: Sequence[Point], jobs: int | None) -> Ending:
    """Runs points that have no record. Returns their records and failures.

    Raises:
        ParameterError: a setting that a method, a protocol or k-means would refuse; no point has been started.
    """
    looked_at = to_look_at(project, sweeps, new)
    with servers(project) as run:
        call(project, "tasks.checks.dry_run:check_points", looked_at)
        return run(sweeps, new, jobs)


def to_look_at(
    project: Project, sweeps: Sequence[Sweep], new: Sequence[Point]
) -> list[tuple[str, dict[str, Any], list[str]]]:
    """For `check_points`: points that show each value of a sweep's grid once, with the stages that none before has."""
    found: list[tuple[str, dict[str, Any], list[str]]] = []
    seen: set[str] = set()
    for sweep in sweeps:
        ends = list(search.ends(sweep.grid))
        for point in new:
            if point.sweep != sweep.name or point.settings not in ends:
                continue
            ends.remove(dict(point.settings))  # the other seeds have the same settings
            stages = [name for name, identity in point.stages.items() if identity not in seen]
            seen.update(point.stages.values())
            parameters = settings.point(project, sweep, point.settings, point.seed)
            found.append((f"sweep {sweep.name}, {point}", parameters, stages))
    return found


def write_table(project: Project, sweep: Sweep, every: Sequence[Point]) -> list[dict[str, Any]]:
    """Writes the table of all points that have a record. Returns the records."""
    records = [record for point in every if (record := points.record(project, point)) is not None]
    if records:
        results.write_table(project, sweep, records)
    return records


def finish(project: Project, sweep: Sweep, every: Sequence[Point]) -> list[dict[str, Any]]:
    """Writes the table and the figure of all points that have a record. Returns the records."""
    records = write_table(project, sweep, every)
    if records:
        results.draw(project, sweep, records)
    return records


def tell(project: Project, sweep: Sweep, records: Sequence[dict[str, Any]]) -> None:
    """Prints the mean of the metric over seeds for each combination of settings, and the paths of all numbers."""
    if sweep.metric is not None and records:
        table = Table("settings", f"{sweep.metric.target} {sweep.metric.metric}".strip(), "95 %", "seeds", box=None)
        for name, (_, mean) in results.averages(records, sweep.metric).items():
            ends = f"{mean.low:.4g} to {mean.high:.4g}" if mean.seeds > 1 else ""
            table.add_row(name or "unchanged", f"{mean.value:.4g}", ends, str(mean.seeds))
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    if records:
        tell_places(project, sweep)


def tell_places(project: Project, sweep: Sweep) -> None:
    """Prints where the numbers of a sweep are stored."""
    print(f"All numbers: {project.root / paths.SWEEPS / sweep.name}.csv")
    print(f"As experiments: dvc exp show --rev refs/covey/sweeps/{sweep.name}")


def tell_failures(ending: Ending) -> None:
    """Prints the end of the log of each failed point, and the path of the log."""
    for failure in ending.failed:
        print(f"\n{failure.reason}. The end of its log:", file=sys.stderr)
        for line in failure.tail.splitlines():
            print(f"    {line}", file=sys.stderr)
        print(f"The whole log: {failure.log}", file=sys.stderr)


def tell_verdicts(project: Project, names: Sequence[str]) -> None:
    """Prints the table of verdicts, and the path of the page."""
    table = Table("study", "verdict", "seeds", "difference of each rule, 95 %", box=None, pad_edge=False)
    colours = {"reproduced": "green", "not reproduced": "red", "undecided": "yellow"}
    for outcome in board.outcomes(project):
        if outcome["name"] in names:
            rules = "; ".join(text for _, text in board.told(outcome))
            shown = f"[{colours[outcome['verdict']]}]{outcome['verdict']}[/]"
            table.add_row(outcome["name"], shown, str(len(outcome["seeds"])), rules)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    print(f"Page: {board.write(project)}")
