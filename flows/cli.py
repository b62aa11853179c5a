"""`covey`: the command line. Prefect, MLflow and torch take seconds to import: each command imports what it needs."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows import command
from flows.errors import refusals, run_lock
from flows.run import plan
from flows.sweep import commands
from tasks.project import paths
from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings import edit
from tasks.settings.schema import ParameterError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="""Finds out, on your own data, which self-supervised representation transfers best.

Everything is described in `params.yaml`: the data, the runs, the protocols. Change it, then:

    covey run           run what the change made stale, and nothing else

    covey status        see what that would be

    covey report        see the scores

    covey ui            browse every run so far
""",
)


@app.command()
def run(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            help="What to bring up to date, with all that it needs: a stage (`transfer@rotation-linear`), a run "
            "(`rotation`), a protocol (`linear`), a command (`pretrain`). Default: everything.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER", help="A data set of params.yaml, or a folder of images. It stays selected."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many stages may work at once. Default: what cores and GPUs allow.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run the targets even where nothing has changed.")] = False,
    runs: Annotated[
        str | None, typer.Option(metavar="SET", help="A set of runs of params.yaml, or `all`. It stays selected.")
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(metavar="SUITE", help="A suite of protocols of params.yaml, or `all`. It stays selected."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run: the same as `--runs all`.")] = False,
    engine: Annotated[
        str, typer.Option(metavar="local|dask", help="Where stages are worked on: here, or on a Dask cluster.")
    ] = "local",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of Dask's scheduler. Default: DASK_SCHEDULER_ADDRESS.")
    ] = None,
) -> None:
    """Brings the pipeline up to date: runs the stages that something has changed for, and those that hang on them.

    Examples:

        covey run                        everything that is stale

        covey run rotation               one run, from its data to its scores

        covey run --data ~/photos        the same runs on a folder of your own images

        covey run --all                  every method that params.yaml holds, not only the small set

        covey run --protocols world      every protocol that the rendered world offers

        covey run linear --jobs 1        one protocol, one stage at a time

        covey run report --force         one stage again, though nothing has changed

        covey run --engine dask --scheduler tcp://10.0.0.1:8786

    A stage that fails is tried again; what hangs on it is then skipped, and all else goes on. Ctrl-C stops every
    stage; the next `covey run` goes on from the last checkpoint. Exit codes: 0 done, 1 a stage failed, 2 a mistake in
    params.yaml or on the command line, 3 another `covey run` is at work here, 4 done, but a number is worse than it was
    in results/NAME.csv of the last commit, by more than its interval, 130 interrupted.
    """
    with refusals():
        project = Project.find()
        command.scheduler_of(engine, scheduler)
        asked = command.Asked(tuple(targets or ()), jobs, force, engine, scheduler)
        with (
            run_lock(project),
            edit.selecting(project.root, data, scope.ALL if everything else runs, protocols) as name,
        ):
            if name is not None:
                print(f"Data set: {name}")
            ending = command.run(project, asked)
    if ending is not None and ending.code:
        raise typer.Exit(ending.code)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: each stage's state and its reasons.")] = False,
) -> None:
    """Shows which stages are up to date, and why the others are not. Runs nothing.

    Examples:

        covey status

        covey status --json | jq 'map_values(.state)'

    `stale`: something that the stage reads has changed. `waiting`: a stage before it is stale; it runs only if what
    it gets from there comes out different. `fresh`: up to date.
    """
    with refusals():
        project = Project.find()
        states = plan.standing(project)
    if as_json:
        print(json.dumps({name: asdict(entry) for name, entry in states.items()}, indent=1))
        return
    table = Table("stage", "state", "why", box=None, pad_edge=False, header_style="bold")
    colours = {"fresh": "green", "stale": "red", "waiting": "yellow"}
    for name, entry in states.items():
        table.add_row(name, f"[{colours[entry.state]}]{entry.state}[/]", "; ".join(entry.reasons))
    Console(width=None if sys.stdout.isatty() else 200).print(table)  # for a pipe: one line a stage
    behind = sum(entry.state != "fresh" for entry in states.values())
    verdict = f"{behind} of {len(states)} stages to run: covey run" if behind else f"All {len(states)} are up to date."
    print(f"{verdict}{command.others(project.parameters)}")


@app.command()
def report() -> None:
    """Prints the table of scores, and where the whole report lies: one HTML page that needs no network.

    Examples:

        covey report

        xdg-open "$(covey report | tail -n 1)"
    """
    from tasks.reporting.terminal import terminal_table

    with refusals():
        project = Project.find()
        path = project.root / paths.REPORT
        if not path.exists():
            raise ParameterError(f"there is no report yet ({path}); `covey run` writes it.")
        print(terminal_table(project))
        print(path)


@app.command()
def ui() -> None:
    """Opens two pages on this machine: MLflow's (every run, its curves and models) and Prefect's (what ran when).

    Example:

        covey ui            prints two addresses; Ctrl-C closes both

    They listen on 127.0.0.1 only. From another machine: ssh -L PORT:127.0.0.1:PORT HOST.
    """
    from flows.prefect_server import pages, server

    with refusals():
        project = Project.find()
        print("Starting both pages; this takes some twenty seconds.", flush=True)
        with server.running(project, pages=True) as prefect, pages.mlflow(project) as mlflow:
            prefect.wait_until_up()
            print(
                f"MLflow   {mlflow}\nPrefect  {prefect.address.removesuffix('/api')}\nCtrl-C closes both.", flush=True
            )
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


@app.command()
def serve(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of Prefect's page. Default: any that is free.")
    ] = None,
) -> None:
    """Does what `schedules` of params.yaml says when its time comes, and shows it on Prefect's page.

    Example:

        covey serve         prints the page's address and what is due next; Ctrl-C ends it

    Each run does what `covey run` does: only what has changed since the last. Where a run is still at work when the
    next is due, that one is left out, or waits (`overlap: queue`). Times that were missed are made good by one run.
    """
    from flows.serve import command as serve_command

    with refusals(), suppress(KeyboardInterrupt):
        serve_command.serve(Project.find(), port)


app.command()(commands.sweep)
app.command()(commands.study)
