"""The commit that Dask workers check out, the repositories that have it, and the files that it does not contain."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.process.git import GitError, git
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.encoders import TRAININGS
from tasks.settings.schema import ParameterError
from tasks.staleness.graph import CODE_STAGE, Graph, outputs_of

SENT = ("params.yaml", "dvc.lock")
"""Files that may differ from the commit, because the parent sends their text to the workers."""

OF_REPORTS = (paths.REPORT, paths.COST_TABLE, paths.MODELS)
"""What reports write beside their outputs. No stage reads it, so that it may differ too."""

CODE = ("ssl_models", "tasks", "dvc.yaml")
"""The workers need these exactly as they are here. Other untracked files do not matter."""


@dataclass(frozen=True)
class Source:
    """A commit of the project, and where to get it.

    Attributes:
        places: repositories that may have the commit, nearest first.
        prefix: the project's folder in the repository.
        project: an id that is the same for all clones.
        files: the tracked files in the project's folder.
        loose: the untracked files there.
    """

    commit: str
    places: tuple[str, ...]
    prefix: str
    project: str
    files: tuple[str, ...]
    loose: tuple[str, ...]

    def holds(self, path: str) -> bool:
        """Whether a checkout has this file or folder exactly as it is here."""
        return any(below(file, (path,)) for file in self.files) and not any(below(file, (path,)) for file in self.loose)


def travels(graph: Graph, name: str, origin: Source, weights: Mapping[str, str] | None = None) -> bool:
    """Whether a worker can get all inputs of a stage: each is in the checkout, or another stage writes it.

    weights: run -> the file, relative to the project's folder, that its training starts from.
    """
    written = outputs_of(graph)
    stage = graph[name]
    kind, _, run = name.partition("@")
    starting = (weights or {}).get(run, "") if kind in TRAININGS else ""
    paths = (*stage.paths, *filter(None, (stage.source, starting)))
    return name != CODE_STAGE and all(below(path, written) or origin.holds(path) for path in paths)


def below(path: str, folders: Collection[str]) -> bool:
    """Whether a path is one of these folders, or is in one."""
    return path in folders or any(parent.as_posix() in folders for parent in Path(path).parents)


def read(project: Project, written: Collection[str]) -> Source:
    """The current commit of the project. written: the outputs of stages, which may differ from the commit.

    Raises:
        ParameterError: there is no commit, or a checkout of it would have other files than the project.
    """
    commit = _git(project, "rev-parse", "--verify", "HEAD").strip()
    prefix = _git(project, "rev-parse", "--show-prefix").strip()
    edited, loose = _unclean(project, prefix)
    amiss = [path for path in edited if path not in (*SENT, *OF_REPORTS) and not below(path, written)]
    amiss += [path for path in loose if below(path, CODE)]
    if amiss:
        more = f" and {len(amiss) - 5} more" if len(amiss) > 5 else ""
        raise ParameterError(
            f"the workers get the code from git, but these files differ from it: {', '.join(amiss[:5])}{more}. "
            "Commit them first; params.yaml and dvc.lock may differ."
        )
    first = _git(project, "rev-list", "--max-parents=0", "HEAD").split()[-1][:16]
    files = tuple(filter(None, _git(project, "ls-files", "-z").split("\0")))
    return Source(commit, _places(project), prefix, first, files, tuple(loose))


def _unclean(project: Project, prefix: str) -> tuple[list[str], list[str]]:
    """The modified files and the untracked files, relative to the project's folder."""
    edited: list[str] = []
    loose: list[str] = []
    listing = _git(project, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", ".")
    for line in filter(None, listing.split("\0")):
        (loose if line.startswith("??") else edited).append(line[3:].removeprefix(prefix))
    return edited, loose


def _places(project: Project) -> tuple[str, ...]:
    """The path of this repository, for workers that can read it, and the URL of its origin, if there is one."""
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
            f"the workers get the code from git, and git cannot tell the commit of {project.root}: {error}"
        ) from None
