"""`covey serve`: a Prefect server with its page and its clock, and the service that does what it plans."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows import server, service
from tasks import params, schedules, store

POLL_SECONDS = 2.0


class AlreadyServing(RuntimeError):
    """Raised where another `covey serve` is at work in the project; the text names its process."""


def serve(root: Path, port: int | None = None) -> None:
    """Serves the schedules of params.yaml until it is interrupted.

    Raises:
        ParameterError: params.yaml has no schedule, or one that cannot be used.
        AlreadyServing: another process serves this project.
        ServerError: the server did not come up, or went away.
    """
    entries = schedules.read(params.load(root))
    if not entries:
        raise params.ParameterError(
            'params.yaml has no schedules. Add: schedules: {nightly: {cron: "30 2 * * *", run: []}}'
        )
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell in the background has SIGINT ignored
        signal.signal(number, _interrupt)
    with _alone(root), _own_server(root, port) as prefect:
        print("Starting Prefect; this takes some twenty seconds.", flush=True)
        prefect.wait_until_up()
        with service.Service(root, entries) as served:
            served.register()
            served.close_dead()
            print(f"Prefect  {prefect.address.removesuffix('/api')}/deployments")
            service.tell_schedules(entries)
            print("Ctrl-C stops it, and the runs that it has started.", flush=True)
            while True:
                try:
                    served.step()
                except served.connection_errors as error:
                    print(f"Prefect's server gave no answer ({error}); waiting for it.", file=sys.stderr)
                    prefect.wait_until_up()
                time.sleep(POLL_SECONDS)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    path = store.lock_file(root, "serve")
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = path.read_text().strip() or "unknown"
            raise AlreadyServing(f"another covey serve is at work in {root} (pid {owner}).") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _own_server(root: Path, port: int | None) -> Iterator[server.Server]:
    """A server with its page and its scheduler, or the one that PREFECT_API_URL names."""
    server.settle(root)
    if given := os.environ.get("PREFECT_API_URL"):
        yield server.Server(given)
        return
    own = server.start(root, port or server.free_port(), pages=True)
    os.environ["PREFECT_API_URL"] = own.address
    try:
        yield own
    finally:
        del os.environ["PREFECT_API_URL"]
        own.stop()
