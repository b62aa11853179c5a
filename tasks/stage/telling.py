"""What a stage says of the error that ended it, and whether a second attempt has hope."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from tasks.process import faults
from tasks.process.faults import Fault
from tasks.process.files import UnreadableFile
from tasks.project.project import Project
from tasks.settings import memory_advice
from tasks.staleness import pipeline


def tell(project: Project, name: str, error: Exception) -> int:
    """Prints what went wrong, with a trace only where nobody has foreseen it; the exit code, 2 for what is final."""
    fault = fault_of(project, name, error)
    if fault is None or faults.traced():
        traceback.print_exception(error)
    if fault is None:
        return 1
    print(f"error: {name}: {fault.words}", file=sys.stderr)
    return 2 if fault.final else 1


def fault_of(project: Project, name: str, error: Exception) -> Fault | None:
    """What the error means; None for one that nobody has foreseen."""
    short = faults.is_out_of_memory(error)
    memory = memory_advice.advice(project.parameters, name, on_gpu=faults.is_of_gpu(error)) if short else ""
    found = faults.explain(error, project.root, memory=memory, foreign=foreign_errors())
    if found is not None and isinstance(error, UnreadableFile):
        return Fault(f"{found.words}{way_out(project, error.path)}", final=True)
    if found is not None and type(error).__name__ == "TrainingDivergedError":
        return Fault(found.words, final=True)
    return found


def way_out(project: Project, path: Path) -> str:
    """How an output that cannot be read is made anew: by the stage that writes it."""
    for stage in pipeline.graph(project).values():
        if any(path.is_relative_to(project.root / output) for output in stage.outputs):
            return f"; `covey run {stage.name} --force` makes it anew"
    return ""


def foreign_errors() -> tuple[type[Exception], ...]:
    """The errors that DVC and MLflow raise with a message for people; MLflow's only where it has been imported."""
    from dvc.exceptions import DvcException

    mlflow = sys.modules.get("mlflow.exceptions")
    return (DvcException,) if mlflow is None else (DvcException, mlflow.MlflowException)
