"""A stage's training in several processes: the stage starts torchrun, waits, and takes up what rank 0 has left.

`machine.processes` of params.yaml says how many this machine runs, with CUDA each on a GPU of its own. DVC and MLflow
hear of the stage alone; rank 0 keeps the journal and the checkpoints in the stage's work folder, as a training in one
process does, so that either goes on from the other's.

On more machines, the first runs the stage as ever, with torchrun's settings in the environment:

    PET_NNODES=2 PET_NODE_RANK=0 PET_MASTER_ADDR=first PET_MASTER_PORT=29400 covey run pretrain@simclr

and each other, in a copy of the project with the same data/ (and runs/, for a refit), runs the processes by hand:

    torchrun --nnodes 2 --node-rank 1 --master-addr first --master-port 29400 --nproc-per-node 8 -m tasks.stage.torchrun

They are told the stage and its parameters by rank 0, train, and end with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tasks.process import faults, files, memory_kills
from tasks.process.parent_death import die_with_parent
from tasks.tracking.journal import Journal

if TYPE_CHECKING:
    from tasks.stage.context import Context

JOB, AGENT = "COVEY_JOB", "COVEY_AGENT_PID"
"""In the environment: the file that says what to train, and the torchrun that a process must not outlive."""
NODES = "PET_NNODES"
"""torchrun's own variable for its --nnodes."""

CHECKPOINT, JOURNAL, TRAINED = "checkpoint.pt", "journal.jsonl", "trained.json"


def wanted(context: Context) -> bool:
    """Whether this stage has others train for it, on this machine or on several."""
    return context.parameters["machine"].get("processes", 1) > 1 or NODES in os.environ


def train(context: Context) -> tuple[dict[str, Any], dict[str, float]]:
    """Has the stage's training done by `machine.processes` processes; the summary and the costs that rank 0 left.

    Raises ValueError for more processes than GPUs, and what ended a process first: TrainingDivergedError as it was,
    ValueError for what would end so again, MemoryError where the kernel has killed one for want of memory, all else as
    RuntimeError.
    """
    processes = context.parameters["machine"].get("processes", 1)
    _refuse_without_gpus(processes)
    job = context.work / "job.json"
    for left in (context.work / TRAINED, *context.work.glob("error.*.json")):
        left.unlink(missing_ok=True)
    files.write_json(job, {"stage": context.stage, "work": str(context.work), "parameters": context.parameters})
    alone = [] if NODES in os.environ else ["--standalone"]
    words = [*alone, "--nproc-per-node", str(processes), "--module", "tasks.stage.torchrun"]
    kills = memory_kills.count()
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.stage.torchrun", str(os.getpid()), *words],
        cwd=context.project.root,
        env={**os.environ, JOB: str(job)},
    )
    try:
        code = _wait(process, context)
    finally:
        if process.poll() is None:
            process.kill()  # and the kernel kills the processes that it started
            process.wait()
    if code:
        raise _reason(context.work, code, short=memory_kills.count() > kills)
    found = files.read_json(context.work / TRAINED)
    return dict(found["summary"]), dict(found["costs"])


def hand_over(context: Context, summary: dict[str, Any], costs: dict[str, float]) -> None:
    """Rank 0 leaves its summary and costs to the stage; the method itself is in the last checkpoint."""
    files.write_json(context.work / TRAINED, {"summary": summary, "costs": costs})


def _refuse_without_gpus(processes: int) -> None:
    import torch

    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise ValueError(
            f"machine.processes is {processes}, and this machine has {torch.cuda.device_count()} GPUs; each process "
            "takes one"
        )


def _wait(process: subprocess.Popen[bytes], context: Context) -> int:
    """The exit code; whenever there is a new checkpoint, what the journal says up to it is sent to the tracking."""
    checkpoint, journal, sent = context.work / CHECKPOINT, Journal(context.work / JOURNAL), 0
    while True:
        try:
            return process.wait(1)
        except subprocess.TimeoutExpired:
            written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            if written != sent:
                context.record.sync(journal)
                sent = written


def _reason(work: Path, code: int, *, short: bool = False) -> Exception:
    """What the process that failed first left a note of: the others then failed for want of it.

    short: the kernel has killed processes meanwhile, because memory had run out.
    """
    from ssl_models.trainer import TrainingDivergedError

    notes = sorted((files.read_json(path) for path in work.glob("error.*.json")), key=lambda note: note["time"])
    if short and memory_kills.is_kill(code):
        return MemoryError("the kernel killed a process of the training")
    if not notes:
        return RuntimeError(f"the processes of the training ended with exit code {code} without a message; see above")
    kind, words = notes[0]["kind"], notes[0]["words"]
    if kind == TrainingDivergedError.__name__:
        return TrainingDivergedError(words)
    if notes[0]["final"]:
        return ValueError(words)
    return RuntimeError(f"process {notes[0]['rank']} of the training ended with {kind}: {words}")


def run_agent(owner: int, arguments: list[str]) -> int:
    """torchrun, which dies with the stage that started it; its exit code."""
    die_with_parent()
    if os.getppid() != owner:
        return 1
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    os.environ[AGENT] = str(os.getpid())
    try:
        torchrun(arguments)
    except ChildFailedError as error:  # the process itself has said why, unless it was killed
        killed = any(failure.exitcode in memory_kills.CODES for failure in error.failures.values())
        return max(memory_kills.CODES) if killed else 1
    return 0


def run_process() -> int:
    """One process of a training, started by torchrun, with which it dies; its exit code."""
    die_with_parent()
    if os.getppid() != int(os.environ.get(AGENT, os.getppid())):
        return 1
    try:
        _take_part()
    except Exception as error:
        _leave_note(int(os.environ["RANK"]), error)
        return 1
    return 0


def _leave_note(rank: int, error: Exception) -> None:
    """Says what ended this process, and writes it down for the stage."""
    fault = _fault_of(error)
    if fault is None or faults.traced():
        traceback.print_exc()
    words, final = (str(error), False) if fault is None else (fault.words, fault.final)
    print(f"process {rank}: {words}", file=sys.stderr, flush=True)
    if JOB in os.environ:
        note = {"time": time.time(), "rank": rank, "kind": type(error).__name__, "words": words, "final": final}
        files.write_json(Path(os.environ[JOB]).with_name(f"error.{rank}.json"), note)


def _fault_of(error: Exception) -> faults.Fault | None:
    from tasks.project.project import Project
    from tasks.stage import telling

    if JOB not in os.environ:
        return faults.explain(error, Path.cwd())
    job = files.read_json(Path(os.environ[JOB]))
    return telling.fault_of(Project.given(Path.cwd(), job["parameters"]), job["stage"], error)


def _take_part() -> None:
    import torch

    from ssl_models.hardware import pick_device
    from ssl_models.parallel import processes as ranks
    from tasks.project.project import Project
    from tasks.stage.context import Context
    from tasks.stage.run import work_of

    with ranks.joining():
        own = files.read_json(Path(os.environ[JOB])) if JOB in os.environ else None
        job = ranks.from_first(own, pick_device())
        if job is None:
            raise ValueError(
                "process 0 was not started by a stage; run the stage on the machine of node rank 0 (PET_NODE_RANK=0)"
            )
        torch.set_num_threads(job["parameters"]["machine"]["threads"])
        record = cast(Any, _Unrecorded())
        project = Project.given(Path.cwd(), job["parameters"])
        context = Context(project, job["stage"], Path(job["work"]), record)
        command, _, run = job["stage"].partition("@")
        work_of(command)(context, run)


class _Unrecorded:
    """Stands for the stage's record, which the stage itself keeps."""

    def sync(self, journal: Journal) -> None:
        pass


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(run_agent(int(sys.argv[1]), sys.argv[2:]))
    if "RANK" not in os.environ:
        sys.exit("error: `python -m tasks.stage.torchrun` is started by torchrun; to train, run the stage")
    sys.exit(run_process())
