"""MLflow's page for `covey ui`, on a free port of the loopback interface.

Run as a program it is a leash: `python -m flows.prefect_server.pages PID COMMAND...` runs the command. When the process
PID ends, it ends the command and everything that the command has started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.errors import ServerError
from flows.prefect_server import server
from flows.prefect_server.environment import LOOPBACK
from tasks.project.project import Project
from tasks.tracking import server as mlflow_store

STARTUP_SECONDS = 120.0
_CHECKOUT = Path(__file__).resolve().parents[2]


@contextmanager
def mlflow(project: Project) -> Iterator[str]:
    """Serves MLflow's page for the records of this project. Yields its address.

    If MLFLOW_TRACKING_URI names a server, the address is that server's, and nothing is started.

    Raises:
        ServerError: the page did not answer within two minutes.
    """
    records = mlflow_store.choose_uri(project)
    if mlflow_store.is_server(records):
        yield records
        return
    if not mlflow_store.database(project).exists():
        mlflow_store.initialise(project)
    port = server.free_port()
    address = f"http://{LOOPBACK}:{port}"
    hosts = [f"{host}:{port}" for host in (LOOPBACK, "localhost")]
    options = {
        "--backend-store-uri": records,
        "--artifacts-destination": (project.state / "mlruns").as_uri(),
        "--host": LOOPBACK,
        "--port": str(port),
        "--workers": "1",
        "--allowed-hosts": ",".join(hosts),
        "--cors-allowed-origins": ",".join(f"http://{host}" for host in hosts),
    }
    log = project.log("mlflow-pages")
    words = [word for option in options.items() for word in option]
    with leashed([sys.executable, "-m", "mlflow", "server", *words], log) as process:
        _wait(process, f"{address}/health", log)
        yield address


@contextmanager
def leashed(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command that ends with the block, even if this process is killed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_CHECKOUT), os.environ.get("PYTHONPATH")]))
    leash = [sys.executable, "-m", "flows.prefect_server.pages", str(os.getpid()), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(leash, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while not server.answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"MLflow's page did not start. See its log: {log}")
        time.sleep(0.2)


def _end_group_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_group_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.exit(subprocess.run(sys.argv[2:], check=False).returncode)
