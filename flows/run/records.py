"""The MLflow records of a run. Other processes write them, because importing MLflow takes seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tasks.process import stopping
from tasks.project.project import Project
from tasks.stage.apart import call


@contextmanager
def opened(project: Project, name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Opens an MLflow run for the block, as the parent of other runs. Yields its id.

    It ends as FINISHED, as FAILED after an error, or as KILLED after an interrupt.
    """
    status, run_id = "KILLED", ""
    try:
        with stopping.held():  # or nothing would know of the run that was just opened
            run_id = call(project, "tasks.tracking.pipeline_run:start", name, dict(tags), os.getpid())
        yield run_id
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        with stopping.held():
            if run_id and (words := call(project, "tasks.tracking.pipeline_run:finish", run_id, status)):
                print(f"covey: {words}", file=sys.stderr)


def describe(project: Project, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Adds settings and metrics to an open run."""
    call(project, "tasks.tracking.pipeline_run:describe", run_id, dict(parameters), dict(metrics))


def restored(project: Project, stage: str) -> None:
    """Records a stage that DVC has restored from its cache."""
    call(project, "tasks.stage.restored:record", stage)
