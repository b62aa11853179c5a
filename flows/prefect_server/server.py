"""The Prefect server of a run. Its database is in `.covey/prefect`; the server ends with the run.

Prefect can start a temporary server by itself. But Ctrl-C in the terminal ends that server before the run has written
its last states, and the server survives a run that is killed.

Prefect reads its environment when it is imported. So call `environment.settle` before anything imports Prefect.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from flows.errors import ServerError
from flows.prefect_server.environment import LOOPBACK, STARTUP_SECONDS, database, settle
from tasks.process import collector
from tasks.process import identity as processes
from tasks.project.project import Project

OWNER_TAG = "covey-owner:"
_started: set[str] = set()
_kept: list[ExitStack] = []
"""What ends the servers that are kept for several runs."""
REFUSALS = {
    401: "wants a key",
    403: "does not let this user in",
    404: "is no Prefect API",
    405: "is no Prefect API",
}
"""The answers of a server that will be the same after a wait."""
_CHECKOUT = Path(__file__).resolve().parents[2]
_ORPHAN_CHECK_SECONDS = 0.5


class Server:
    """The address of a server; also its process and log, if this run has started it."""

    def __init__(self, address: str, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
        self.address = address
        self.process = process
        self.log = log

    def wait_until_up(self, seconds: float = STARTUP_SECONDS) -> None:
        """Waits until the server answers.

        Raises:
            ServerError: it ended, or did not answer in that time, or refuses to answer.
        """
        deadline = time.monotonic() + seconds
        while not answers(f"{self.address}/health"):
            self.refuse_unusable()
            if self.process is not None and self.process.poll() is not None:
                raise ServerError(f"The Prefect server ended while it started. See its log: {self.log}")
            if time.monotonic() > deadline:
                hint = f"See its log: {self.log}" if self.log else "PREFECT_API_URL names it. Is it running?"
                raise ServerError(f"The Prefect server at {self.address} did not answer within {seconds:.0f} s. {hint}")
            time.sleep(0.1)

    def refuse_unusable(self) -> None:
        """Asks a server that the user has named. Raises ServerError if it will never do what it is asked.

        Its page of health answers without a key, so another page is asked.
        """
        if self.process is not None:
            return
        if not self.address.startswith(("http://", "https://")):
            raise ServerError(f"PREFECT_API_URL={self.address} is no address; it looks like http://HOST:4200/api.")
        status = _asked_with_key(f"{self.address}/flow_runs/count")
        if status in REFUSALS:
            hint = "Such an address ends in /api"
            if status in (401, 403):
                hint = "Set PREFECT_API_KEY, or PREFECT_API_AUTH_STRING=USER:PASSWORD"
            raise ServerError(
                f"The Prefect server at {self.address}, which PREFECT_API_URL names, {REFUSALS[status]} (HTTP "
                f"{status}). {hint}; or unset PREFECT_API_URL, and Covey starts a server of its own."
            )

    def stop(self) -> None:
        """Ends the server if this run has started it, with SIGKILL after five seconds."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(project: Project, port: int | None = None, *, pages: bool = False) -> Iterator[Server]:
    """Starts a server for the block. Call `wait_until_up` before use: a start takes 6 s, the first one 15 s.

    If PREFECT_API_URL is set, that server is used and nothing is started.

    Args:
        port: any free port if None.
        pages: with the dashboard and the scheduler.

    Raises:
        ServerError: the server that is named refuses, or a file or proxy stands in the way of one of its own.
    """
    settle(project)
    if given := os.environ.get("PREFECT_API_URL"):
        given_server = Server(given.rstrip("/"))
        given_server.refuse_unusable()
        yield given_server
        return
    own = _own(project, port or free_port(), pages)
    if _kept:
        yield _kept[-1].enter_context(own)
        return
    with own as server:
        yield server


@contextmanager
def kept() -> Iterator[None]:
    """Within this context a server that is started stays up for further runs: Prefect knows one address a process."""
    with ExitStack() as stack:
        _kept.append(stack)
        try:
            yield
        finally:
            _kept.remove(stack)


@contextmanager
def _own(project: Project, port: int, pages: bool) -> Iterator[Server]:
    server = start(project, port, pages=pages)
    os.environ["PREFECT_API_URL"] = server.address
    _started.add(server.address)
    try:
        yield server
    finally:
        _started.discard(server.address)
        del os.environ["PREFECT_API_URL"]
        server.stop()


def start(project: Project, port: int, *, pages: bool = False) -> Server:
    """Starts a server that stops when this process ends, whatever ends it. pages: with dashboard and scheduler."""
    log = project.log("prefect-pages" if pages else "prefect-server")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_CHECKOUT), os.environ.get("PYTHONPATH")]))
    environment |= database(project)
    environment |= {
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        # Prefect allows all origins by default, so any open web page could use the server.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{LOOPBACK}:{port},http://localhost:{port}",
    }
    if not pages:
        environment |= {
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            # A run uses no blocks, and to register them Prefect imports Dask. Only pages show them.
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "0",
            "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
        }
    command = [sys.executable, "-m", "flows.prefect_server.server", str(os.getpid()), str(port)]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C must not reach the server before the run has written its last states.
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    return Server(f"http://{LOOPBACK}:{port}/api", process, log)


def claim_run(flow_run: str) -> None:
    """Tags a flow run with this process, and closes the flow runs of processes that no longer exist."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(flow_run), tags=[OWNER_TAG + json.dumps(processes.identity(), sort_keys=True)])
        for run in client.read_flow_runs(flow_run_filter=running_filter()):
            owner = next((tag.removeprefix(OWNER_TAG) for tag in run.tags if tag.startswith(OWNER_TAG)), None)
            if owner is not None and not processes.is_alive(json.loads(owner), alone=own_here()):
                close_run(client, run.id)


def own_here() -> bool:
    """Whether only processes of this machine write to the server in use: it is this process's own, on its own disk."""
    return os.environ.get("PREFECT_API_URL") in _started and processes.is_local(Path(os.environ["PREFECT_HOME"]))


def running_filter() -> Any:
    """A filter for flow runs that have not ended."""
    from prefect.client.schemas import filters, objects

    states = [objects.StateType.RUNNING, objects.StateType.PENDING, objects.StateType.CANCELLING]
    return filters.FlowRunFilter(state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=states)))


def close_run(client: Any, run: UUID) -> None:
    """Sets a flow run whose process is gone, and its tasks, to Crashed."""
    from prefect.client.schemas import filters
    from prefect.states import Crashed

    state = Crashed(message="The process of this run is gone: it was killed, or the machine went down.")
    own = filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[run]))
    for task in client.read_task_runs(flow_run_filter=own):
        if task.state is None or not task.state.is_final():
            client.set_task_run_state(task.id, state, force=True)
    client.set_flow_run_state(run, state, force=True)


def free_port() -> int:
    """A free port on the loopback interface."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(address: str) -> bool:
    """Whether a GET request to this address succeeds. A server of this machine is asked without a proxy."""
    try:
        with urllib.request.urlopen(address, timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _asked_with_key(address: str) -> int | None:
    """The status of the answer to a request with the user's key, as Prefect's client makes it; None for none."""
    request = urllib.request.Request(address, b"{}", {"Content-Type": "application/json"})
    if words := os.environ.get("PREFECT_API_AUTH_STRING"):
        request.add_header("Authorization", f"Basic {base64.b64encode(words.encode()).decode()}")
    elif key := os.environ.get("PREFECT_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def end_with(parent: int) -> None:
    """Ends this process soon after its parent. Call it in a thread."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_SECONDS)
    os._exit(1)


def first_request(port: int) -> None:
    """Asks this server until it answers: the first request builds all routes, which takes 0.4 s."""
    while not answers(f"http://{LOOPBACK}:{port}/api/admin/version"):
        time.sleep(0.1)


def main(parent: int, port: int) -> None:
    """Serves Prefect's API on a loopback port until the parent ends."""
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    threading.Thread(target=first_request, args=(port,), daemon=True).start()
    with collector.importing():
        import uvicorn
        from prefect.server.api.server import create_app

        app = create_app()
    uvicorn.run(app, host=LOOPBACK, port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
