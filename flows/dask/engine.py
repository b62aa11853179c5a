"""Runs stages on a Dask cluster.

Prefect's tasks stay in this process, with their order and their retries. The task runner of prefect-dask would run the
tasks themselves on the workers, which would then have to reach Prefect's server. That server has no password, so it
listens on the loopback interface only. Instead, the thread of a task sends the stage to the cluster and waits.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any
from uuid import uuid4

from flows.dask import checkout
from flows.dask import worker as remote
from flows.run import plan, records
from flows.run.jobs import Ended
from flows.run.slots import Slots
from tasks.project.project import Project
from tasks.remote import dvc_remote
from tasks.settings.encoders import weight_files
from tasks.settings.schema import ParameterError
from tasks.staleness import code_hash
from tasks.staleness.dvc_errors import PipelineError, StageFailed
from tasks.staleness.graph import CODE_STAGE, outputs_of
from tasks.staleness.reproduce import reproduce
from tasks.tracking import server

GPU = "GPU"
"""The Dask resource of workers with a GPU: `dask worker --resources GPU=1`."""

CONNECT_SECONDS = 10.0
LOOK_SECONDS = 5.0


class WorkerSlots(Slots):
    """One slot for each thread of a cluster. Slots are added when workers join, and kept when workers are lost.

    A stage that gets a slot without a free thread waits in Dask's own queue.
    """

    def __init__(self, places: int, at_most: int | None, when_closed: Callable[[], None]) -> None:
        super().__init__(places, at_most=at_most)
        self._when_closed = when_closed
        self._most = places
        self._bounded = at_most is not None

    def close(self) -> None:
        super().close()
        self._when_closed()

    def grow_to(self, places: int) -> None:
        with self._lock:
            more = max(0, places - self._most)
            self._most += more
            self._free_slots += more
            self._free_places += 0 if self._bounded else more
            self._admit()


class Dask:
    """Runs stages on the workers of a cluster; made by `joined`.

    A stage runs on this machine instead if an input is neither in git nor written by another stage (a folder of images,
    the whole folder of metrics), or if DVC's cache already has its outputs.
    """

    __slots__ = ("_client", "_common", "_done", "_futures", "_guard", "_here", "_lent", "_over", "_project", "_work")

    def __init__(
        self, project: Project, work: plan.Plan, client: Any, origin: checkout.Source, data: dict[str, str]
    ) -> None:
        self._project, self._work, self._client = project, work, client
        self._guard = threading.Lock()
        self._futures: set[Any] = set()
        self._done: set[str] = set()
        self._over = threading.Event()
        files = weight_files(project.root, project.parameters)
        weights = {run: os.path.relpath(file, project.root) for run, file in files.items() if file is not None}
        self._here = {name for name in work.names if not checkout.travels(work.graph, name, origin, weights)}
        away = [name for name in work.names if name not in self._here]
        parents = {parent for name in away for parent in work.graph[name].parents}
        self._lent = parents - {CODE_STAGE}
        self._common = {
            "project": origin.project,
            "sources": origin.places,
            "commit": origin.commit,
            "prefix": origin.prefix,
            "parameters": (project.root / "params.yaml").read_text(),
            "code": code_hash.fingerprints(project.root, project.parameters),
            "remote": data,
            "versions": remote.versions(),
        }

    def lend(self) -> None:
        """Pushes the outputs of stages that are up to date and that planned stages read."""
        try:
            if fresh := sorted(self._lent - set(self._work.names)):
                dvc_remote.push(self._project, fresh)
        except RuntimeError as error:
            raise PipelineError(f"the inputs of the workers could not be pushed: {error}") from error

    def slots(self, machine: Mapping[str, Any], jobs: int | None) -> Slots:  # noqa: ARG002
        slots = WorkerSlots(max(1, self._threads()), jobs, self.stop)

        def look() -> None:
            while not self._over.wait(LOOK_SECONDS):
                with suppress(OSError, RuntimeError, ValueError):  # the scheduler is gone: the stages report that
                    slots.grow_to(self._threads())

        threading.Thread(target=look, name="workers", daemon=True).start()
        return slots

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        log = self._project.log(name)
        try:
            if name in self._here or (not force and dvc_remote.is_at_hand(self._project, name)):
                outcome = reproduce(self._project, name, timeout=timeout, environment=environment, force=force)
                if name in self._lent:
                    dvc_remote.push(self._project, [name], log=f"{name}.push")
                if outcome == "restored":
                    records.restored(self._project, name)
                self._project.forget_work(name, only_done=True)
                return Ended(outcome)
            log.write_text("sent to the cluster\n")
            reply = self._ask(name, self._request(name, timeout, environment, force))
            log.write_text(reply.get("log") or reply.get("tail", ""))
            if "failed" in reply:
                reason = f"{reply['failed']} ({reply['worker']})"
                raise StageFailed(name, reason, reply["tail"], log, final=reply["final"])
            dvc_remote.take_over(self._project, name, reply["entry"], reply["files"])
            # If both use one MLflow server, the worker's record is there already, and this adds nothing.
            records.restored(self._project, name)
            self._done.add(name)
            return Ended(reply["outcome"], reply["worker"])
        except RuntimeError as error:
            if isinstance(error, StageFailed):
                raise
            raise StageFailed(name, "failed to be sent to the cluster or fetched from it", str(error), log) from error

    def stop(self) -> None:
        """Cancels all running stages. Each worker notices within a second and ends its stage."""
        with self._guard:
            self._over.set()
            futures = list(self._futures)
        if futures:
            self._client.cancel(futures, force=True)

    def finish(self) -> None:
        """Pushes DVC's run cache, so that other clones can restore the results. A failure is only reported."""
        try:
            if self._done:
                dvc_remote.push(self._project, sorted(self._done), runs=True)
        except RuntimeError as error:
            print(f"covey: the run cache could not be pushed to the remote: {error}", file=sys.stderr)

    def _threads(self) -> int:
        return sum(self._client.nthreads().values())

    def _request(self, name: str, timeout: float | None, environment: Mapping[str, str], force: bool) -> dict[str, Any]:
        outputs = outputs_of(self._work.graph)
        own = {
            "stage": name,
            "inputs": [path for path in self._work.graph[name].paths if checkout.below(path, outputs)],
            "lock": dvc_remote.read_lock(self._project),
            "environment": _environment(environment),
            "timeout": timeout,
            "force": force,
        }
        return {**self._common, **own}

    def _ask(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The reply of a worker. If the worker is lost, Dask tries another one, three times by default."""
        from distributed import KilledWorker

        wants_device = name in self._work.on_device and _gpus(self._client)
        with self._guard:
            future = self._client.submit(
                _self_contained(remote.answer),
                request,
                key=f"{name}-{uuid4().hex[:8]}",
                resources={GPU: 1} if wants_device else None,
            )
            self._futures.add(future)
        try:
            if self._over.is_set():
                future.cancel(force=True)
            reply: dict[str, Any] = future.result()
        except KilledWorker as error:
            raise RuntimeError(f"{error.allowed_failures + 1} workers were lost while they ran it") from error
        except (CancelledError, OSError) as error:
            raise RuntimeError(f"the scheduler dropped it: {error}") from error
        finally:
            with self._guard:
                self._futures.discard(future)
        return reply


@contextmanager
def joined(project: Project, work: plan.Plan, address: str) -> Iterator[Dask]:
    """Connects to the cluster at `address` for one run.

    Raises:
        ParameterError: DVC has no remote, files are not committed, the scheduler does not answer, or it has no workers
            or workers with other versions of packages.
        PipelineError: inputs of stages could not be pushed to the remote.
    """
    data = dvc_remote.default_remote(project)
    origin = checkout.read(project, outputs_of(work.graph))
    client = _connect(address)
    try:
        _refuse_unfit(client, address)
        engine = Dask(project, work, client, origin, data)
        try:
            engine.lend()
            yield engine
            engine.finish()
        finally:
            engine.stop()
    finally:
        client.close()


def _connect(address: str) -> Any:
    from prefect_dask.client import PrefectDaskClient

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    join: Callable[..., Any] = PrefectDaskClient
    try:
        return join(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise ParameterError(
            f"no Dask scheduler answers at {address} within {CONNECT_SECONDS:.0f} s ({error}). Check "
            "that it is running and that this machine can reach the port."
        ) from None


def _refuse_unfit(client: Any, address: str) -> None:
    found = client.run(_self_contained(remote.differences), remote.versions())
    if not found:
        raise ParameterError(f"the scheduler has no workers; `dask worker {address} --nthreads 1` starts one.")
    unfit = [f"{worker} has {', '.join(other)}" for worker, other in found.items() if other]
    if unfit:
        raise ParameterError(f"this machine and the workers must have the same package versions: {'; '.join(unfit)}.")


def _self_contained(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of the function that a worker can call without the modules of this project."""
    cloudpickle = import_module("cloudpickle")

    cloudpickle.register_pickle_by_value(remote)
    try:
        content = cloudpickle.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(remote)
    return lambda *arguments: cloudpickle.loads(content)(*arguments)


def _gpus(client: Any) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any(worker.get("resources", {}).get(GPU) for worker in workers)


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that the workers need. MLflow's are sent only if it is a server."""
    sent = {"COVEY_PREFECT_RUN": environment.get("COVEY_PREFECT_RUN", "")}
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if server.is_server(address):
        sent |= {"MLFLOW_TRACKING_URI": address, "COVEY_PARENT_RUN": environment.get("COVEY_PARENT_RUN", "")}
    return {name: value for name, value in sent.items() if value}
