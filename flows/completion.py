"""Names that the shell completes: read from the project's files, without any check of them, in milliseconds.

A file that cannot be read gives no names: an error would be printed into the line that the user types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import typer

from tasks.exporting.options import FORMS
from tasks.project import paths
from tasks.project.project import Project
from tasks.selection.scope import ALL, PROTOCOLS, RUNS, members
from tasks.settings import dvc_file
from tasks.settings.groups import GROUPS
from tasks.settings.schema import parse_yaml
from tasks.settings.stage_kinds import STUDY_FILES, SWEEP_FILES

Complete = Callable[[str], list[str]]


def _completed(names: Callable[[Project], Iterable[Any]]) -> Complete:
    """A function from the beginning of a word to the names that begin with it."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in dict.fromkeys(map(str, names(Project.find()))) if name.startswith(incomplete)]
        except Exception:
            return []

    return complete


def _parameters(project: Project) -> Any:
    return parse_yaml((project.root / paths.PARAMETERS).read_text(encoding="utf-8"))


def _targets(project: Project) -> Iterable[str]:
    """Runs, protocols and commands; stages (`extract@rotation`) are left out, since bash breaks words at an @."""
    parameters = _parameters(project)
    return *members(parameters, RUNS), *members(parameters, PROTOCOLS), *dvc_file.stages(project.root)


def _files(folder: str, project: Project) -> Iterable[str]:
    return sorted(path.stem for path in (project.root / folder).glob("*.yaml"))


def layers(context: typer.Context, incomplete: str) -> list[str]:
    """The layers of the features of the run that the line names."""

    def names(project: Project) -> Iterable[str]:
        from tasks.artifacts.features import Features  # numpy comes with it

        data = str(_parameters(project)["data"]["name"])
        run = context.params["run"] or context.args[0]  # where the option has no value yet, words are left unread
        return Features(paths.Places(project.root, data).features(run)).layers

    return _completed(names)(incomplete)


targets = _completed(_targets)
runs = _completed(lambda project: members(_parameters(project), RUNS))
data_sets = _completed(lambda project: [*(found := _parameters(project))["datasets"], *(found.get(GROUPS) or {})])
"""Where none begins so, bash and zsh go on with files and folders."""
sets = _completed(lambda project: [ALL, *(_parameters(project).get(RUNS.sets) or {})])
suites = _completed(lambda project: [ALL, *(_parameters(project).get(PROTOCOLS.sets) or {})])
sweeps = _completed(partial(_files, SWEEP_FILES))
studies = _completed(partial(_files, STUDY_FILES))
forms = _completed(lambda _: FORMS)
