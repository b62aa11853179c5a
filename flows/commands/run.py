"""`covey run`: brings the pipeline up to date."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from flows import command, completion
from flows.errors import refusals, run_lock
from flows.opening import opened
from flows.run import rehearsal
from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings import edit
from tasks.settings.own_data import Options
from tasks.settings.schema import ParameterError
from tasks.settings.values import WHOLE
from tasks.staleness import outputs


def run(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            autocompletion=completion.targets,
            help="What to bring up to date, together with the stages that it depends on: a stage "
            "(`transfer@rotation-linear`), a run (`rotation`), a protocol (`linear`) or a command (`pretrain`). "
            "Default: everything that is selected.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|FILE",
            autocompletion=completion.data_sets,
            help="Use this data set of params.yaml, or this folder of images, videos, sounds or text, from now on; or "
            "a text (.txt), a list of images (.txt), a table (.parquet) or tars (NAME-{000..007}.tar) of images.",
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
    sound: Annotated[bool, typer.Option("--sound", help="Read a folder of videos with its sound.")] = False,
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
        str | None,
        typer.Option(
            metavar="SET",
            autocompletion=completion.sets,
            help="Use this set of runs of params.yaml, or `all`, from now on.",
        ),
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(
            metavar="SUITE",
            autocompletion=completion.suites,
            help="Use this suite of protocols of params.yaml, or `all`, from now on.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The same as `--runs all`.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only list the stages that would run, with time, memory and disk."),
    ] = False,
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

        covey run --data ~/videos        the runs for video, on a folder of your own; with --sound, for both

        covey run --data ~/corpus.txt    the runs for words, on a text of your own

        covey run --all                  all runs of params.yaml, not only the selected set

        covey run --protocols world      the protocols of the suite `world`

        covey run linear --jobs 1        one protocol, one stage at a time

        covey run --data ~/photos --dry-run   what it would take; nothing is run or written

        covey run report --force         one stage again, even if nothing has changed

        covey run --engine dask --scheduler tcp://10.0.0.1:8786

    Before it starts, it says how many stages there are and what they take, by earlier runs. `--dry-run` lists them, and
    tries two batches of each training that never ran.

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
        selection = (project.root, data, scope.ALL if everything else runs, protocols)
        further: edit.Further = {
            "occupied": partial(outputs.occupied, project),
            "options": Options(labels, size, group, sound),
        }
        if dry_run:
            proposed = _proposed(project, edit.proposed(*selection, **further))
            rehearsal.rehearse(proposed, asked.targets, jobs, force=force)
            return
        with run_lock(project), edit.selecting(*selection, **further) as name:
            if name is not None:
                print(f"Data set: {name}")
                command.tell_of_data(project)
            ending = command.run(project, asked)
    if ending is not None and ending.code:
        raise typer.Exit(ending.code)


def _proposed(project: Project, proposed: tuple[str | None, dict[str, Any]]) -> Project:
    """The project with what params.yaml would hold; what the data are taken for is printed if they would be others."""
    name, parameters = proposed
    if parameters == project.parameters:
        return project
    found = Project.given(project.root, parameters)
    if name is not None:
        print(f"Data set: {name}")
        command.tell_of_data(found)
    return found
