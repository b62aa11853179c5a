"""`covey serve`: a Prefect server that plans the scheduled runs, and the service that carries them out."""

from __future__ import annotations

import signal
import sys
import time

from flows import errors
from flows.prefect_server import server
from flows.serve import service
from tasks.process import stopping
from tasks.project.project import Project
from tasks.settings import params, schedules
from tasks.tracking import pipeline_run

POLL_SECONDS = 2.0


def serve(project: Project, port: int | None = None) -> None:
    """Runs the schedules of params.yaml until it is interrupted.

    Raises:
        ParameterError: params.yaml has no schedules, or an invalid one; or MLflow's records cannot be used.
        Exit: another process serves this project.
        ServerError: the server did not start, or stopped.
    """
    entries = schedules.read(project.parameters)
    if not entries:
        raise params.ParameterError(
            'params.yaml has no schedules. Add: schedules: {nightly: {cron: "30 2 * * *", run: []}}'
        )
    pipeline_run.refuse_unusable(project)
    with (
        stopping.obeyed(always=(signal.SIGINT,)),  # a process in the background of a shell ignores it
        errors.run_lock(project, "serve"),
        server.running(project, port, pages=True) as prefect,
    ):
        print("Starting Prefect; this takes about 20 seconds.", flush=True)
        prefect.wait_until_up()
        with service.Service(project, entries) as served:
            served.register()
            served.close_dead()
            print(f"Prefect  {prefect.address.removesuffix('/api')}/deployments")
            service.tell_schedules(entries)
            print("Ctrl-C stops it and all runs that it has started.", flush=True)
            while True:
                try:
                    served.step()
                except served.connection_errors as error:
                    print(f"Prefect's server does not answer ({error}); waiting for it.", file=sys.stderr)
                    prefect.wait_until_up()
                time.sleep(POLL_SECONDS)
