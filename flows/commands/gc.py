"""`covey gc`: what the project holds beside its results, and frees of it what nothing needs."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.errors import refusals, run_lock
from flows.opening import opened
from tasks.process.amounts import size
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage.apart import call
from tasks.staleness import lock_file, pipeline
from tasks.upkeep import disk, holdings
from tasks.upkeep.holdings import Choice, Holdings
from tasks.upkeep.models import Version

AGE = re.compile(r"(\d+(?:\.\d+)?)d")


def gc(
    other_data: Annotated[
        bool,
        typer.Option(
            "--all-data-sets/--keep-data-sets",
            help="Whether the results of data sets that are not selected go too. `covey run --data NAME` then computes "
            "them again.",
        ),
    ] = False,
    experiments: Annotated[
        bool,
        typer.Option(
            "--experiments/--keep-experiments",
            help="Whether what points of sweeps and studies have made goes too. Their tables and verdicts stay.",
        ),
    ] = False,
    old_runs: Annotated[
        bool,
        typer.Option(
            "--old-runs/--keep-old-runs",
            help="Whether the folders in runs/ and metrics/ of runs that params.yaml no longer has go too. It is said "
            "of which of them DVC's cache has no copy.",
        ),
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS",
            help="Free only what was last written so long ago, such as `7d`. What is kept for 30 days is kept for 30 "
            "days at the least.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what is held and what would be freed.")] = False,
) -> None:
    """Says what caches, checkpoints and old runs hold, and frees what no current result needs. It asks first.

    Examples:

        covey gc --dry-run

        covey gc

        covey gc --older-than 30d --yes

        covey gc --all-data-sets --experiments

        covey gc --old-runs        also the folders of runs that were taken out of params.yaml

    Kept are: the workspace, unless with `--old-runs`; all that `covey run` would restore, now or after `--data NAME`,
    `--runs` or `--protocols`; what points of sweeps and studies have made; checkpoints of interrupted stages, and of
    points that failed, for 30 days; the newest version of each model and every version with an alias. Freed are earlier
    results, what finished stages have left behind, working copies of sweeps, and tables that `covey atlas` makes again.

    Exit codes: 0 success, or "no" was answered; 2 a mistake on the command line; 3 a `covey run` is on.
    """
    with refusals():
        choice = Choice(other_data, experiments, old_runs, 0.0 if older_than is None else days(older_than))
        project = opened(writes=not dry_run)
        with nullcontext() if dry_run else run_lock(project):
            _gc(project, choice, ask=not yes, dry_run=dry_run)


def days(text: str) -> float:
    """30 for "30d". Raises ParameterError."""
    found = AGE.fullmatch(text.strip())
    if not found:
        raise ParameterError(f"--older-than {text}: give a number of days, such as 30d.")
    return float(found[1])


def _gc(project: Project, choice: Choice, *, ask: bool, dry_run: bool) -> None:
    lock_file.require_form(project.root / paths.LOCK)  # what is needed stands there
    found = holdings.look(project, list(pipeline.graph(project)), choice)
    _show(found)
    if not found.going and not found.versions:
        print("Nothing to free.")
        return
    if dry_run:
        print(f"`covey gc` would free {size(found.freed)}.")
        return
    if ask and not typer.confirm(f"Free {size(found.freed)}?"):
        print("Nothing was freed.")
        return

    def forget(versions: list[Version]) -> None:
        call(project, "tasks.upkeep.models:forget", [(one.name, one.version) for one in versions])

    holdings.remove(project, found, forget)
    print(f"{size(found.freed)} freed.")


def _show(found: Holdings) -> None:
    """A row for each part that holds anything, and the total."""
    table = Table("what", box=None, pad_edge=False, header_style="bold")
    for title in ("held", "to be freed"):
        table.add_column(title, justify="right")
    for item in holdings.worth_telling(found.items):
        freed = disk.freed([*item.going, *(one.folder for one in item.versions)])
        table.add_row(item.title, size(item.held), size(freed) if freed else "")
    table.add_row("together", size(sum(item.held for item in found.items)), size(found.freed), style="bold")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if found.note:
        print(found.note)
