"""What every stage does around its work: look before it starts, be alone, record, and look again before it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.process import kill_points
from tasks.project import paths
from tasks.settings import params
from tasks.settings.schema import ParameterError
from tasks.staleness import declaration as declared

if TYPE_CHECKING:
    from tasks.tracking.stage_run import StageRun


class NotApplicable(Exception):
    """A stage has nothing to do on these data; the text says why. Its outputs say so too, and so do its descendants."""


@dataclass(frozen=True)
class Context:
    """What a stage's work is given: where things lie, what was asked for, and who takes notes."""

    root: Path
    stage: str
    parameters: dict[str, Any]
    work: Path
    record: StageRun

    @property
    def store(self) -> paths.Store:
        return paths.Store(self.root, self.parameters["data"]["name"])


@dataclass(frozen=True)
class Result:
    """What a stage wants remembered: numbers, files, and the encoder it made, by the name it is registered under."""

    summary: dict[str, float] = field(default_factory=dict)
    artifacts: list[Path] = field(default_factory=list)
    encoder: tuple[str, Path] | None = None


Work = Callable[..., Result]


def main(arguments: list[str]) -> int:
    """Runs one stage, `["pretrain", "rotation"]`, in this process; returns its exit code."""
    if not arguments:
        print("usage: python -m tasks STAGE [RUN [PROTOCOL]]", file=sys.stderr)
        return 2
    stage = arguments[0] + ("@" + "-".join(arguments[1:]) if arguments[1:] else "")
    root = Path.cwd()
    for signalled in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signalled, _stop)
    try:
        with _alone(root, stage):
            _run(root, stage, arguments)
    except ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        expected = isinstance(error, (ValueError, RuntimeError, OSError, *_foreign_errors()))
        if not expected or os.environ.get("COVEY_TRACEBACK"):
            raise
        print(f"error: {stage}: {error}", file=sys.stderr)
        return 2 if type(error).__name__ == "TrainingDivergedError" else 1  # 2: it would end so again
    return 0


def _run(root: Path, stage: str, arguments: list[str]) -> None:
    params.load(root)  # says what is wrong with params.yaml better than DVC does
    declaration = declared.read(root, stage)
    inputs = declaration.fingerprint()
    parameters = params.load(root)  # after the fingerprint: what is used is never older than what is vouched for
    key = declaration.key(inputs)
    _set_threads(parameters["machine"]["threads"])
    work = paths.work_folder(root, stage, key)
    work.mkdir(parents=True, exist_ok=True)
    with _first_come(work), _recorded(root, stage, key, work, inputs, parameters) as record:
        context = Context(root, stage, parameters, work, record)
        started = time.perf_counter()
        try:
            _refuse_unfit(root, declaration)
            module = import_module(f"tasks.{arguments[0].partition('_')[0]}")
            result: Result = getattr(module, arguments[0])(context, *arguments[1:])
        except NotApplicable as reason:
            result = _mark(root, declaration, str(reason))
        kill_points.point("after-output")
        _refuse_changed(declaration, inputs)
        kill_points.point("before-record")
        record.finish({**result.summary, "seconds": time.perf_counter() - started}, result.artifacts)
        if result.encoder is not None and paths.WORK not in os.environ:  # the newest is not to be some sweep's
            register(root, record.run_id, *result.encoder)
        _refuse_changed(declaration, inputs)
        (work / paths.DONE).touch()
        kill_points.point("after-record")


@contextmanager
def _recorded(
    root: Path, stage: str, key: str, work: Path, inputs: dict[str, str], parameters: dict[str, Any]
) -> Iterator[StageRun]:
    """A run of the tracking store for the length of the block; it never stays open, unless the process is killed."""
    from tasks.tracking.stage_run import open_run

    machine = {f"covey.{name}": str(value) for name, value in parameters["machine"].items()}
    shown = relevant(stage, parameters)
    record = open_run(root, stage=stage, key=key, work=work, parameters=shown, inputs=inputs, tags=machine)
    try:
        yield record
    except (KeyboardInterrupt, SystemExit):
        record.killed()
        raise
    except BaseException as error:
        record.fail(str(error))
        raise


def register(root: Path, run_id: str, name: str, folder: Path) -> None:
    """Registers an encoder under its name; its run is finished by then, and so lies where it will stay."""
    from tasks.tracking.registry import register_encoder

    shape = tuple(paths.read_json(folder / "encoder.json")["shape"])
    register_encoder(root, name, folder, run_id, shape=shape)


def relevant(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a stage's record shows: its own block, the data set, and the shared ones that shape it."""
    kind, _, names = stage.partition("@")
    run, _, protocol = names.partition("-")
    shown: dict[str, Any] = {"seed": parameters["seed"], "data": parameters["data"]}
    for block in ("pretrain", "clusterfit"):
        if run in parameters[block]:
            shown[run] = parameters[block][run]
    if kind in ("pretrain", "clusterfit"):
        shown |= {"training": parameters["training"], "encoder": parameters["encoder"]}
    if protocol:
        shown[protocol] = (parameters["transfer"] | parameters["targets"])[protocol]
    if kind == "prepare_target":
        shown[run] = parameters["targets"][run]
    return shown


@contextmanager
def _alone(root: Path, stage: str) -> Iterator[None]:
    """Holds the stage's lock: a second start of it waits for a dying first one, then gives up."""
    with open(paths.lock_file(root, stage), "a+") as file:
        for _ in range(50):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.2)
        else:
            file.seek(0)
            raise RuntimeError(f"it is already being run by process {file.read().strip()}; wait for it or stop it")
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _first_come(work: Path) -> Iterator[None]:
    """Waits where another project works on the same inputs in the same folder, as two points of a sweep may."""
    with open(work / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_threads(threads: int) -> None:
    """Fixes the number of threads, which results on a CPU depend on (pytorch/pytorch#88718)."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(threads)


def _refuse_unfit(root: Path, declaration: declared.Declared) -> None:
    """Passes on what an input says of itself: where a parent had nothing to do, this stage has nothing either."""
    for path in declaration.paths:
        mark = root / path / paths.NOT_APPLICABLE
        if mark.is_file():
            raise NotApplicable(mark.read_text().strip())


def _mark(root: Path, declaration: declared.Declared, reason: str) -> Result:
    """Writes the reason into every declared output, so that DVC has them and the report can say it."""
    print(f"not applicable: {reason}")
    for output in declaration.outputs:
        path = root / output
        if path.suffix == ".json":
            paths.write_json(path, {"not_applicable": reason})
        elif path.suffix:
            with paths.whole_file(path) as temporary:
                temporary.write_text("")
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / paths.NOT_APPLICABLE).write_text(reason + "\n")
    return Result()


def _refuse_changed(declaration: declared.Declared, inputs: dict[str, str]) -> None:
    """Fails, and takes the outputs away, if an input is not what it was when the stage started."""
    try:
        now = declared.read(declaration.root, declaration.stage).fingerprint()
        changed = sorted(name for name in inputs.keys() | now.keys() if inputs.get(name) != now.get(name))
    except declared.CodeChangedError:
        changed = ["the code"]
    if not changed:
        return
    for output in declaration.outputs:
        path = declaration.root / output
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    raise RuntimeError(
        f"{', '.join(changed)} changed while the stage ran; nothing was recorded. Run it again with what is there now."
    )


def _foreign_errors() -> tuple[type[Exception], ...]:
    """The errors that DVC and MLflow raise with a message for people; MLflow's only where it has been imported."""
    from dvc.exceptions import DvcException

    mlflow = sys.modules.get("mlflow.exceptions")
    return (DvcException,) if mlflow is None else (DvcException, mlflow.MlflowException)


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
