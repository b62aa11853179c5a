"""What a command that writes a run's work to a file asks first: is the run trained, may the file be written."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import DESCRIPTION
from tasks.artifacts.features import ORDER, Features
from tasks.process import user
from tasks.project import paths
from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings.schema import ParameterError, parse_yaml, unknown
from tasks.settings.values import shown
from tasks.staleness import lock_file


def require_trained(project: Project, run: str, command: str) -> None:
    """Raises ParameterError for a run without an encoder of the selected data set. command: the one that asks."""
    if run not in (runs := scope.members(project.parameters, scope.RUNS)):
        raise unknown("run", run, runs, command)
    folder, data = project.places.encoder(run), project.places.data
    if (mark := folder / paths.NOT_APPLICABLE).is_file():
        raise ParameterError(f"the run '{run}' has no encoder on the data set '{data}': {mark.read_text().strip()}")
    if not (folder / DESCRIPTION).is_file() or not Stored(project.places.dataset).prepared:
        raise ParameterError(f"the run '{run}' is not trained on the data set '{data}' yet; `covey run {run}` does.")
    if not _agree(project, run):
        raise ParameterError(
            f"the data set '{data}' was prepared anew since '{run}' was trained, and its samples may be others; "
            f"`covey run {run}` trains it again."
        )


def require_layer(project: Project, run: str, layer: str, command: str) -> tuple[str, ...]:
    """The layers of a run's features. Raises ParameterError where there are none, or not this one."""
    folder = project.places.features(run)
    if not (folder / ORDER).is_file():
        raise ParameterError(
            f"the features of '{run}' on the data set '{project.places.data}' are not extracted yet; "
            f"`covey run {run}` does."
        )
    layers = Features(folder).layers
    if layer not in layers:
        raise unknown("layer", layer, layers, command)
    return layers


def require_place(file: Path, *, force: bool) -> None:
    """Raises ParameterError for a file that cannot be written. force: whether it may be there already."""
    try:
        str(file).encode()
        if file.is_dir():
            raise ValueError("it is a folder")
        if not file.parent.is_dir():
            raise ValueError("its folder is not there; make it first")
        if os.path.lexists(file) and not force:
            raise ValueError("it is there already; --force writes over it")
        if closed := user.not_writable([file.parent, file]):
            raise ValueError(f"user {os.getuid()} may not write {'it' if file in closed else 'into its folder'}")
    except (ValueError, OSError) as error:
        raise cannot(file, error) from None


def cannot(file: Path, error: Exception) -> ParameterError:
    """The error of a file that cannot be written, in words."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    words = "its name is not UTF-8" if isinstance(error, UnicodeEncodeError) else words
    return ParameterError(f"{name if (name := str(file)).isprintable() else shown(name)} cannot be written: {words}.")


def _agree(project: Project, run: str) -> bool:
    """Whether the data that the run was trained on are those that lie there, as far as dvc.lock tells."""
    training = f"{'clusterfit' if run in project.parameters['clusterfit'] else 'pretrain'}@{run}"
    path = project.places.dataset.relative_to(project.root).as_posix()
    try:
        entries = lock_file.read(project.root / paths.LOCK, ["prepare", training])
    except lock_file.OddLockFile:
        return True
    found = set()
    for name, kind in (("prepare", "outs"), (training, "deps")):
        entry = parse_yaml(entries.get(name, f"{name}: {{}}"))[name]
        found |= {each["md5"] for each in entry.get(kind) or () if each.get("path") == path and "md5" in each}
    return len(found) < 2
