"""MLflow's part in a run, carried out apart: `covey` itself does not import MLflow, which takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tasks.project.project import Project
from tasks.stage.apart import call


@contextmanager
def opened(project: Project, name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """A run of MLflow for the length of the block, to hang others under; gives its id. It is closed as the block ends.

    FINISHED, FAILED where an error ends it, KILLED where an interrupt does.
    """
    run_id: str = call(project, "tasks.tracking.pipeline_run:start", name, dict(tags), os.getpid())
    status = "KILLED"
    try:
        yield run_id
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        call(project, "tasks.tracking.pipeline_run:finish", run_id, status)


def describe(project: Project, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Adds settings and final numbers to a run that is at work."""
    call(project, "tasks.tracking.pipeline_run:describe", run_id, dict(parameters), dict(metrics))


def restored(project: Project, stage: str) -> None:
    """Writes the record of a stage that DVC has restored."""
    call(project, "tasks.stage.restored:record", stage)
