"""What every command of `covey` does first: finds the project, and sees that it can work there."""

from __future__ import annotations

import os

from tasks.process import user
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import ParameterError


def opened(*, writes: bool = True) -> Project:
    """The project of the working folder. A user whom the system does not know gets a name and a home folder.

    writes: whether the command writes into the project.

    Raises:
        ParameterError: there is no project, or this user may not write it.
    """
    project = Project.find()
    user.settle(project.state / "home")
    if writes:
        refuse_unwritable(project)
    return project


def refuse_unwritable(project: Project) -> None:
    """Looks at what every run writes, before anything is started. Raises ParameterError."""
    state, dvc = project.state, project.root / ".dvc"
    folders = [project.root, state, *(state / name for name in ("locks", "logs", "prefect")), dvc, dvc / "tmp"]
    files = [project.root / paths.LOCK, *sorted((state / "locks").glob("*.lock"))]
    closed = user.not_writable([*folders, *files])
    if closed:
        more = f" (nor {len(closed) - 1} more files and folders in it)" if len(closed) > 1 else ""
        raise ParameterError(
            f"{closed[0]} cannot be written{more}, by user {os.getuid()}. Run as its owner, or give this user the "
            f"right: chown -R {os.getuid()} {project.root}. If the file system is read-only, copy the project."
        )
