"""`covey`: the command line. Prefect, MLflow and torch take seconds to import, so commands import them on use."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows import command
from flows.errors import refusals, run_lock
from flows.opening import opened
from flows.run import dag as graph_of
from flows.run import plan
from flows.run.report import shown
from flows.sweep import commands
from flows.vectors import vectors
from tasks.project import paths
from tasks.selection import scope
from tasks.settings import edit
from tasks.settings.own_data import Options
from tasks.settings.schema import ParameterError
from tasks.settings.values import WHOLE
from tasks.staleness import outputs
from tasks.tracking import pipeline_run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="""Finds out, on your own data, which self-supervised representation transfers best.

`params.yaml` holds all settings: the data set, the runs (how encoders are trained) and the protocols (how they are
measured). Edit it, then:

    covey status        list the stages that are out of date

    covey run           run these stages

    covey report        print the scores

    covey ui            browse all runs in MLflow and Prefect
""",
)


@app.command()
def run(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            help="What to bring up to date, together with the stages that it depends on: a stage "
            "(`transfer@rotation-linear`), a run (`rotation`), a protocol (`linear`) or a command (`pretrain`). "
            "Default: everything that is selected.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|FILE",
            help="Use this data set of params.yaml, or this folder of images, sounds or text, from now on; or a text "
            "(.txt), a list of images (.txt), a table (.parquet) or tars (NAME-{000..007}.tar) of images.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="auto|folders|none|FILE.csv",
            help="Where labels of images are: in folders, nowhere, or in a table with a column `file` and others.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, max=WHOLE["size"][1], help="The size in pixels that images are used at."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="folder|day|FILE.csv",
            help="Which images stay on one side of the split: a folder's, a day's, or as a table (file,group) says.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=WHOLE["jobs"][1],
            help="How many stages may run at the same time. Default: as many as fit the cores and GPUs.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run the targets even if nothing has changed.")] = False,
    runs: Annotated[
        str | None, typer.Option(metavar="SET", help="Use this set of runs of params.yaml, or `all`, from now on.")
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(metavar="SUITE", help="Use this suite of protocols of params.yaml, or `all`, from now on."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The same as `--runs all`.")] = False,
    engine: Annotated[
        str, typer.Option(metavar="local|dask", help="Where stages run: on this machine, or on a Dask cluster.")
    ] = "local",
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="The address of the Dask scheduler. Default: the variable DASK_SCHEDULER_ADDRESS."
        ),
    ] = None,
) -> None:
    """Brings the pipeline up to date: runs the stages whose inputs have changed, and the stages that depend on them.

    Examples:

        covey run                        everything that is out of date

        covey run rotation               one run, from its data to its scores

        covey run --data ~/photos        the same runs, on a folder of your own images

        covey run --data ~/photos --labels none --size 128 --group day

        covey run --data ~/corpus.txt    the runs for words, on a text of your own

        covey run --all                  all runs of params.yaml, not only the selected set

        covey run --protocols world      the protocols of the suite `world`

        covey run linear --jobs 1        one protocol, one stage at a time

        covey run report --force         one stage again, even if nothing has changed

        covey run --engine dask --scheduler tcp://10.0.0.1:8786

    A stage that fails is retried. If it fails for good, the stages that depend on it are skipped and all others still
    run; the report is then made of what there is. Ctrl-C stops all stages; the next `covey run` continues from their
    last checkpoints.

    Exit codes: 0 success; 1 a stage failed; 2 a mistake in params.yaml or on the command line; 3 another `covey run`
    is running in this project; 4 success, but a score is worse than the published one in results/NAME.csv of the last
    commit, by more than its confidence interval; 130, 143 or 129 stopped by Ctrl-C, TERM or HUP.
    """
    with refusals():
        if everything and runs not in (None, scope.ALL):
            raise ParameterError(f"--all is --runs {scope.ALL}, and --runs {runs} is another set; give one of them.")
        project = opened()
        command.scheduler_of(engine, scheduler)
        asked = command.Asked(tuple(targets or ()), jobs, force, engine, scheduler)
        with (
            run_lock(project),
            edit.selecting(
                project.root,
                data,
                scope.ALL if everything else runs,
                protocols,
                occupied=partial(outputs.occupied, project),
                options=Options(labels, size, group),
            ) as name,
        ):
            if name is not None:
                print(f"Data set: {name}")
                command.tell_of_data(project)
            ending = command.run(project, asked)
    if ending is not None and ending.code:
        raise typer.Exit(ending.code)


@app.command()
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


@app.command()
def dag(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[TARGET]...", help="As for `covey run`. Default: what is selected.")
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


@app.command()
def report() -> None:
    """Prints the table of scores and the path of the full report, a single HTML page that works offline.

    It says first whose scores these are, whether they are up to date, and which are missing and why.

    Examples:

        covey report

        xdg-open "$(covey report | tail -n 1)"
    """
    from tasks.reporting.terminal import terminal_table

    with refusals():
        project = opened(writes=False)
        path = project.root / paths.REPORT
        if not path.exists():
            raise ParameterError(f"there is no report yet ({path}); `covey run` writes it.")
        print(f"{shown(project)}\n{terminal_table(project)}\n\n{path}")


@app.command()
def ui() -> None:
    """Serves two web pages: MLflow's (all runs with their curves and models) and Prefect's (which stage ran when).

    Example:

        covey ui            prints both addresses; Ctrl-C stops both

    The pages listen on 127.0.0.1 only. To reach one from another machine: ssh -L PORT:127.0.0.1:PORT HOST.
    """
    from flows.prefect_server import pages, server

    with refusals():
        project = opened()
        pipeline_run.refuse_unusable(project)
        print("Starting both pages; this takes about 20 seconds.", flush=True)
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
        int | None, typer.Option(min=1, max=65535, help="The port of Prefect's page. Default: any free port.")
    ] = None,
) -> None:
    """Runs the `schedules` of params.yaml at their times, and shows them on Prefect's page.

    Example:

        covey serve         prints the page's address and the next times; Ctrl-C stops it

    A scheduled run does the same as `covey run`: it runs only what is out of date. If the previous run is still going,
    the new one is skipped, or waits (`overlap: queue`). If times were missed, one run makes up for all of them.
    """
    from flows.serve import command as serve_command

    with refusals(), suppress(KeyboardInterrupt):
        serve_command.serve(opened(), port)


app.command()(commands.sweep)
app.command()(commands.study)
app.command()(vectors)
