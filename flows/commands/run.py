"""`covey run`: brings the pipeline up to date."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import command, completion
from flows.errors import FAILED, REGRESSED, refusals, run_lock
from flows.opening import opened
from flows.prefect_server import server
from flows.run import rehearsal, report
from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings import edit, groups, params
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
            metavar="NAME|GROUP|FOLDER|FILE",
            autocompletion=completion.data_sets,
            help="Use this data set of params.yaml, or this folder of images, videos, sounds or text, from now on; or "
            "a text (.txt), a list of images (.txt), a table (.parquet) or tars (NAME-{000..007}.tar) of images; or a "
            "table of numbers (.npy, .npz, .csv). A group of data sets is taken one by one.",
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

        covey run --data density         every data set of the group `density`, one by one

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
        further: edit.Further = {
            "occupied": partial(outputs.occupied, project),
            "options": Options(labels, size, group, sound),
        }
        chosen = (scope.ALL if everything else runs, protocols)
        each = _each(project, data, further["options"])
        if dry_run:
            for one in each:
                proposed = _proposed(project, edit.proposed(project.root, one, *chosen, **further))
                rehearsal.rehearse(proposed, asked.targets, jobs, force=force)
            return
        codes = set()
        with run_lock(project), server.kept():
            for one in each:
                codes.add(_run(project.reread(), asked, (project.root, one, *chosen), further, kept=len(each) > 1))
    if code := next((code for code in (FAILED, REGRESSED) if code in codes), 0):
        raise typer.Exit(code)


def _each(project: Project, data: str | None, options: Options) -> list[str | None]:
    """The data sets that are worked on: those of a group, or the one that is named.

    Raises:
        ParameterError: options that go with one data set, for a group.
    """
    found = [] if data is None else groups.members(params.read(project.root), data)
    if found and options != Options():
        raise ParameterError(
            f"--data {data} is a group ({', '.join(found)}), and --labels, --size, --group and --sound go with one "
            "data set."
        )
    return [*found] or [data]


def _run(
    project: Project,
    asked: command.Asked,
    selection: tuple[Path, str | None, str | None, str | None],
    further: edit.Further,
    *,
    kept: bool,
) -> int:
    """Selects, and runs; the exit code. kept: whether the page is kept under the name of its data set."""
    with edit.selecting(*selection, **further) as name:
        if name is not None:
            print(f"Data set: {name}")
            command.tell_of_data(project)
        ending = command.run(project, asked)
    if kept:
        report.keep(project)
    return 0 if ending is None else ending.code


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
