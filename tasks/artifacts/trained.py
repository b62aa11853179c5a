"""Whether a run has an encoder that can be taken away: asked before torch is imported."""

from __future__ import annotations

from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import DESCRIPTION
from tasks.artifacts.features import ORDER, Features
from tasks.project import paths
from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings.schema import ParameterError, unknown
from tasks.staleness.recorded import recorded, training_stage


def require_run(project: Project, run: str, command: str) -> None:
    """Raises ParameterError for a run that params.yaml does not have; command: that was given its name."""
    if run not in (runs := scope.members(project.parameters, scope.RUNS)):
        raise unknown("run", run, runs, command)


def require_trained(project: Project, run: str) -> None:
    """Raises ParameterError for a run without an encoder of the selected data."""
    folder, data = project.places.encoder(run), project.places.data
    if (mark := folder / paths.NOT_APPLICABLE).is_file():
        raise ParameterError(f"the run '{run}' has no encoder on the data set '{data}': {mark.read_text().strip()}")
    if not (folder / DESCRIPTION).is_file():
        raise ParameterError(f"the run '{run}' is not trained on the data set '{data}' yet; `covey run {run}` does.")


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


def require_same_samples(project: Project, run: str, what: str = "samples") -> None:
    """Raises ParameterError where the selected data may be others than those that the run was trained on.

    what: of the data, for the message.
    """
    data = project.places.data
    if not Stored(project.places.dataset).prepared:
        raise ParameterError(f"the data set '{data}' is not prepared here; `covey run {run}` does.")
    training = training_stage(project, run)
    found, path = recorded(project, ["prepare", training]), project.places.dataset.relative_to(project.root).as_posix()
    hashes = {found["prepare"].written.get(path), found[training].read.get(path)} - {None}
    if len(hashes) > 1:
        raise ParameterError(
            f"the data set '{data}' was prepared anew since '{run}' was trained, and its {what} may be others; "
            f"`covey run {run}` trains it again."
        )
