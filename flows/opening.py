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
    _refuse_path(project)
    user.settle(project.state / "home")
    if writes:
        refuse_unwritable(project)
    return project


def _refuse_path(project: Project) -> None:
    """Raises ParameterError for a folder whose path DVC cannot work with: it takes braces in it for a format."""
    path = str(project.root)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ParameterError(
            f"the project's path {path!r} is not UTF-8, which DVC and MLflow need; rename the folder."
        ) from None
    if "{" in path or "}" in path:
        raise ParameterError(f"the project's path {path} has braces, and DVC fails on them; rename the folder.")


def refuse_unwritable(project: Project) -> None:
    """Looks at what every run writes, before anything is started. Raises ParameterError."""
    state, dvc = project.state, project.root / ".dvc"
    folders = [project.root, state, *(state / name for name in ("locks", "logs", "prefect")), dvc, dvc / "tmp"]
    files = [project.root / paths.LOCK, *sorted((state / "locks").glob("*.lock"))]
    closed = user.not_writable([*folders, *files])
    if closed:
        more = f" (nor {len(closed) - 1} more files and folders in it)" if len(closed) > 1 else ""
        raise ParameterError(
            f"{closed[0]} cannot be written{more} by user {os.getuid()}. Run as its owner, give this user the right to "
            f"write all of {project.root}, or work in a copy."
        )
