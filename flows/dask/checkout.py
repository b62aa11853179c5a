"""What workers are to check out: the commit of this project, where it can be fetched, and what lies outside of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tasks.process.git import GitError, git
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.staleness.graph import CODE_STAGE, Graph, outputs_of

SENT = ("params.yaml", "dvc.lock")
"""Files that may differ from the commit: their text goes to the workers as it is."""

CODE = ("ssl_models", "tasks", "dvc.yaml")
"""What workers must have as it is here; anything else that git does not know is left alone."""


@dataclass(frozen=True)
class Source:
    """A commit. places: repositories that may have it, nearest first. prefix: the project's folder in the repository.

    project: the same for every clone. files: what git holds below the project's folder. loose: what it does not.
    """

    commit: str
    places: tuple[str, ...]
    prefix: str
    project: str
    files: tuple[str, ...]
    loose: tuple[str, ...]

    def holds(self, path: str) -> bool:
        """Whether a checkout has a file or folder as it is here."""
        return any(below(file, (path,)) for file in self.files) and not any(below(file, (path,)) for file in self.loose)


def travels(graph: Graph, name: str, origin: Source) -> bool:
    """Whether a worker can get all that a stage reads: from a checkout, or because another stage writes it."""
    written = outputs_of(graph)
    paths = graph[name].paths
    return name != CODE_STAGE and all(below(path, written) or origin.holds(path) for path in paths)


def below(path: str, folders: Collection[str]) -> bool:
    """Whether a path is one of these, or lies in one."""
    return path in folders or any(parent.as_posix() in folders for parent in Path(path).parents)


def read(project: Project, written: Collection[str]) -> Source:
    """The commit that `root` is at; `written` are what stages write, and so may differ from it.

    Raises:
        ParameterError: no commit, or files that a checkout of it would have otherwise.
    """
    commit = _git(project, "rev-parse", "--verify", "HEAD").strip()
    prefix = _git(project, "rev-parse", "--show-prefix").strip()
    edited, loose = _unclean(project, prefix)
    amiss = [path for path in edited if path not in SENT and not below(path, written)]
    amiss += [path for path in loose if below(path, CODE)]
    if amiss:
        more = f" and {len(amiss) - 5} more" if len(amiss) > 5 else ""
        raise ParameterError(
            f"the workers get the code by git, and these are not as in the last commit: {', '.join(amiss[:5])}{more}. "
            "Commit them first; params.yaml and dvc.lock may differ."
        )
    first = _git(project, "rev-list", "--max-parents=0", "HEAD").split()[-1][:16]
    files = tuple(filter(None, _git(project, "ls-files", "-z").split("\0")))
    return Source(commit, _places(project), prefix, first, files, tuple(loose))


def _unclean(project: Project, prefix: str) -> tuple[list[str], list[str]]:
    """The files that are not as in the commit, and those that git does not know; paths from the project's folder."""
    edited: list[str] = []
    loose: list[str] = []
    listing = _git(project, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", ".")
    for line in filter(None, listing.split("\0")):
        (loose if line.startswith("??") else edited).append(line[3:].removeprefix(prefix))
    return edited, loose


def _places(project: Project) -> tuple[str, ...]:
    """This repository's path, for workers that see it, and the address of its origin, where there is one."""
    top = _git(project, "rev-parse", "--show-toplevel").strip()
    names = _git(project, "remote").split()
    if "origin" not in names:
        return (top,)
    origin = _git(project, "remote", "get-url", "origin").strip()
    remote = "://" in origin or re.match(r"[^/]+:", origin)
    return (top, origin if remote else str((Path(top) / origin).resolve()))


def _git(project: Project, *words: str) -> str:
    try:
        return git(project.root, *words)
    except GitError as error:
        raise ParameterError(
            f"the workers get the code by git, and git cannot tell the commit of {project.root}: {error}"
        ) from None
