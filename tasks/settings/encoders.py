"""Which encoder a run has, and which weights it starts from: asked here by everything that needs to know.

A run's block may hold `encoder`. Where that names the encoder of the block `encoder`, or none, it changes settings of
it for this run; where it names another, it stands alone. A refit that goes on with its source's weights
(`outputs: weights`) has its source's encoder, unless it says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.settings.refits import continues

ENCODER, INITIALISE, WEIGHTS = "encoder", "initialise", "weights"
TRAININGS = ("pretrain", "clusterfit")


def encoder_of(parameters: Mapping[str, Any], block: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the encoder of a run with this block, its `name` among them."""
    passed: list[Any] = []
    while continues(block) and not block.get(ENCODER) and block not in passed:
        passed.append(block)
        found = next(
            (runs[source] for runs in _trainings(parameters) if (source := str(block.get("source"))) in runs), None
        )
        block = found if isinstance(found, Mapping) else {}
    return merged(parameters.get(ENCODER), block.get(ENCODER))


def block_of(parameters: Mapping[str, Any], run: str) -> dict[str, Any]:
    """The block of a run that there is."""
    block: dict[str, Any] = next(runs[run] for runs in _trainings(parameters) if run in runs)
    return block


def merged(common: Any, own: Any) -> dict[str, Any]:
    """A run's own settings of the encoder over the common ones, or alone where they name another encoder."""
    common, own = (dict(block) if isinstance(block, Mapping) else {} for block in (common, own))
    return common | own if own.get("name", common.get("name")) == common.get("name") else own


def encoders(parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Run -> the settings of its encoder."""
    return {run: encoder_of(parameters, block) for run, block in _blocks(parameters).items()}


def starting_weights(block: Mapping[str, Any]) -> str | None:
    """What a run's block says that its encoder starts from: the name of published weights, or a file."""
    found = block.get(INITIALISE) or block.get(WEIGHTS)
    return found if isinstance(found, str) else None


def weight_files(root: Path, parameters: Mapping[str, Any]) -> dict[str, Path | None]:
    """Run -> the file or folder that its encoder's weights come from; None where they come from none."""
    found = {run: starting_weights(block) for run, block in _blocks(parameters).items()}
    places = {run: place_of(root, text) if text else None for run, text in found.items()}
    return {run: place if isinstance(place, Path) else None for run, place in places.items()}


def place_of(root: Path, weights: str) -> str | Path:
    """What `ssl_models.weights.load` takes: the name of published weights, or the path of a file.

    Published weights have names of letters, digits and underscores. A path counts from the project's folder.
    """
    return weights if re.fullmatch(r"\w+", weights) else root / Path(weights).expanduser()


def _trainings(parameters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = (parameters.get(name) for name in TRAININGS)
    return [runs for runs in found if isinstance(runs, Mapping)]


def _blocks(parameters: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Every run's block; one that params.yaml cannot hold is passed over."""
    return {run: block for runs in _trainings(parameters) for run, block in runs.items() if isinstance(block, Mapping)}
