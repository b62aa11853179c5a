"""`covey ui` and `covey serve`: what stays up until Ctrl-C."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Annotated

import typer

from flows.errors import refusals
from flows.opening import opened
from tasks.tracking import pipeline_run


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
