"""`covey`: the command line. Prefect, MLflow and torch take seconds to import, so commands import them on use."""

from __future__ import annotations

import typer

from flows.commands.atlas import atlas
from flows.commands.embed import embed
from flows.commands.export import export
from flows.commands.gc import gc
from flows.commands.pages import serve, ui
from flows.commands.results import report
from flows.commands.run import run
from flows.commands.standing import dag, status
from flows.commands.vectors import vectors
from flows.commands.version import options
from flows.errors import Commands
from flows.sweep.commands import study, sweep

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
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

app.callback()(options)
for each in (run, status, dag, report, ui, serve, sweep, study, embed, atlas, export, vectors, gc):
    app.command()(each)
