"""What every stage does around its work: look before it starts, be alone, record, and look again before it ends."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from tasks.artifacts import encoders
from tasks.process import files, kill_points, locks, stopping
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage import costs as costs_of
from tasks.stage import telling
from tasks.stage.context import Context, NotApplicable, Result, Work
from tasks.stage.settings_of import settings_of
from tasks.staleness import declaration, outputs, pipeline
from tasks.staleness.graph import Stage
from tasks.tracking import registry, stage_run
from tasks.tracking.stage_run import StageRun

WAIT_SECONDS = 30.0
"""How long a stage waits for an earlier start of itself that is ending."""


def main(arguments: list[str]) -> int:
    """Runs one stage, `["pretrain", "rotation"]`, in this process; returns its exit code.

    2: it would end so again, as for a setting that cannot be used. 1: anything else that went wrong.
    """
    if not arguments:
        print("usage: python -m tasks STAGE [RUN [PROTOCOL]]", file=sys.stderr)
        return 2
    name = arguments[0] + ("@" + "-".join(arguments[1:]) if arguments[1:] else "")
    project = Project(Path.cwd())
    try:
        # Ctrl-C also in what a script has started in the background: that is how `covey` ends its stages.
        with (
            stopping.obeyed(always=(signal.SIGINT, signal.SIGTERM)),
            locks.held(project.lock(name), wait=WAIT_SECONDS),
        ):
            _run(project, name, arguments)
    except stopping.Stopped as stop:
        return stop.code
    except ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except locks.LockedError as error:
        print(f"error: {name} is already being run by process {error.owner}; wait for it or stop it", file=sys.stderr)
        return 1
    except Exception as error:
        return telling.tell(project, name, error)
    return 0


def work_of(command: str) -> Work:
    """The function that does the work of a command of dvc.yaml; a stage of a refit is one of any run.

    "transfer_clusterfit" -> tasks/transfer.py, "prepare_target" -> tasks/targets/prepare.py.
    """
    word, _, other = command.removesuffix("_clusterfit").partition("_")
    module = import_module(f"tasks.targets.{word}" if other == "target" else f"tasks.{word}")
    work: Work = getattr(module, word)
    return work


def _run(project: Project, name: str, arguments: list[str]) -> None:
    parameters = project.parameters  # says what is wrong with params.yaml better than DVC does
    stage = pipeline.stage(project.root, name)
    inputs = declaration.fingerprint(project.root, stage, parameters)
    key = declaration.key_of(name, inputs)
    _set_threads(parameters["machine"]["threads"])
    work = project.work(name, key)
    # Two points of a sweep may work on the same inputs in the same folder: the second waits.
    with locks.held(work / "lock", wait=None), _recorded(project, stage, key, work, inputs) as record:
        started = time.perf_counter()
        outputs.claim(project, stage)
        try:
            _refuse_unfit(project, stage)
            result = work_of(arguments[0])(Context(project, name, work, record), *arguments[1:])
        except NotApplicable as reason:
            result = _mark(project, stage, str(reason))
        kill_points.point("after-output")
        _refuse_changed(project, stage, inputs)
        costs = {**result.costs, "seconds": time.perf_counter() - started}
        files.write_json(project.costs(name), costs_of.record(project, stage, key, costs))
        kill_points.point("before-record")
        record.finish({**result.summary, **costs}, result.artifacts)
        if result.encoder is not None and paths.WORK not in os.environ:  # a point of a sweep registers nothing
            register(project, record.run_id, *result.encoder)
        _refuse_changed(project, stage, inputs)
        declaration.note(project, name, inputs)
        outputs.settle(project, stage)
        (work / paths.DONE).touch()
        kill_points.point("after-record")


@contextmanager
def _recorded(project: Project, stage: Stage, key: str, work: Path, inputs: Mapping[str, str]) -> Iterator[StageRun]:
    """A run of the tracking store for the length of the block; it stays open only if the process is killed."""
    machine = {f"covey.{name}": str(value) for name, value in project.parameters["machine"].items()}
    shown = settings_of(stage.name, project.parameters)
    record = None
    try:
        with stopping.held():  # or nothing would know of the run that was just opened
            record = stage_run.open_run(
                project, stage=stage.name, key=key, work=work, parameters=shown, inputs=inputs, tags=machine
            )
        yield record
    except (KeyboardInterrupt, SystemExit):
        if record is not None:
            record.killed()
        raise
    except BaseException as error:
        if record is not None:
            with stopping.held():
                record.fail(str(error))
        raise


def register(project: Project, run_id: str, name: str, folder: Path) -> None:
    """Registers an encoder under its name; its run is finished by then, and so lies where it will stay."""
    registry.register_encoder(project, name, folder, run_id, shapes=encoders.input_shapes(folder))


def _set_threads(threads: int) -> None:
    """Fixes the number of threads, which results on a CPU depend on (pytorch/pytorch#88718)."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(threads)


def _refuse_unfit(project: Project, stage: Stage) -> None:
    """Passes on what an input says of itself: where a parent had nothing to do, this stage has nothing either.

    The report tells it instead.
    """
    if stage.kind == "report":
        return
    for path in stage.paths:
        mark = project.root / path / paths.NOT_APPLICABLE
        if mark.is_file():
            raise NotApplicable(mark.read_text().strip())


def _mark(project: Project, stage: Stage, reason: str) -> Result:
    """Writes the reason into every declared output, so that DVC has them and the report can say it.

    Folders of plots stay empty: DVC would take a file of words in them for a plot that it cannot draw.
    """
    print(f"not applicable: {reason}")
    for output in stage.outputs:
        path = project.root / output
        if path.suffix == ".json":
            files.write_json(path, {"not_applicable": reason})
        elif path.suffix:
            with files.whole_file(path) as temporary:
                temporary.write_text("")
        else:
            path.mkdir(parents=True, exist_ok=True)
            if path.name != paths.MEASURED:
                (path / paths.NOT_APPLICABLE).write_text(reason + "\n")
    return Result()


def _refuse_changed(project: Project, stage: Stage, inputs: Mapping[str, str]) -> None:
    """Fails, and takes the outputs away, if an input is not what it was when the stage started."""
    changed = declaration.changed(project, stage.name, inputs)
    if not changed:
        return
    for output in stage.outputs:
        path = project.root / output
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    raise RuntimeError(
        f"{', '.join(changed)} changed while the stage ran; nothing was recorded. Run it again with what is there now."
    )
