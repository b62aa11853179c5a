"""Refuses encoders and weights of params.yaml that cannot be used, as far as that is seen without building them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.settings import encoders
from tasks.settings.encoders import INITIALISE, TRAININGS, WEIGHTS
from tasks.settings.refits import continues
from tasks.settings.schema import CODE, Field, ParameterError, check_block, check_module, constant, keywords, offered
from tasks.settings.source_places import WRITTEN
from tasks.settings.values import shown


def check_encoder(block: Mapping[str, Any], where: str = "encoder") -> None:
    """Raises ParameterError for an unknown encoder, and for settings that it does not have."""
    name = block.get("name", "")
    check_module(CODE / "encoders", "encoder", name, f"{where}.name", offer="ENCODER")
    path = CODE / "encoders" / f"{name}.py"
    fields = {"name": Field("str", True), **keywords(path, offered(path, "ENCODER"))}
    for given in ast.literal_eval(constant(path, "FROM_DATA") or "()"):
        fields.pop(given)
    check_block(block, fields, where)


def check_runs(parameters: Mapping[str, Any], root: Path) -> None:
    """Raises ParameterError for a run whose encoder, or what that starts from, cannot be used. The blocks are known."""
    runs = {name for kind in TRAININGS for name in parameters[kind]}
    for kind in TRAININGS:
        for name, block in parameters[kind].items():
            if (own := block.get(encoders.ENCODER)) is not None:
                _check_own(parameters, own, f"{kind}.{name}.{encoders.ENCODER}")
            _check_weights(kind, name, block, runs)
            for setting in (INITIALISE, WEIGHTS):
                if isinstance(text := block.get(setting), str):
                    _check_file(root, text, parameters["data"]["name"], f"{kind}.{name}.{setting}")


def _check_own(parameters: Mapping[str, Any], own: Any, where: str) -> None:
    if not isinstance(own, Mapping):
        raise ParameterError(f"{where}: {shown(own)} is not of type dict.")
    check_encoder(encoders.merged(parameters[encoders.ENCODER], own), where)


def _check_weights(kind: str, name: str, block: Mapping[str, Any], runs: set[str]) -> None:
    """At most one thing gives an encoder its weights, and none of them is another run of this project."""
    where = f"{kind}.{name}"
    giving = [INITIALISE] * (INITIALISE in block) + [WEIGHTS] * (WEIGHTS in block) + ["outputs"] * continues(block)
    if len(giving) > 1:
        raise ParameterError(f"{where}: {giving[0]} and {giving[1]} both give the encoder its weights; leave one out.")
    for setting in giving:
        if (text := block[setting]) in runs and not continues(block):
            method = "METHOD" if setting == WEIGHTS else block.get("method", "METHOD")
            raise ParameterError(
                f"{where}.{setting} is the run '{text}'. A run that starts from another is a refit: write "
                f"`clusterfit: {{{name}: {{source: {text}, method: {method}, outputs: weights}}}}`."
            )


def _check_file(root: Path, weights: str, data: str, where: str) -> None:
    """Refuses a file that is not there, and one that a stage of the selected data will write."""
    if not weights.strip() or "\0" in weights:
        raise ParameterError(f"{where} is {shown(weights)}; it must be a file, or the name of published weights.")
    place = encoders.place_of(root, weights)
    if isinstance(place, str):
        return
    try:
        there, real = place.exists(), place.resolve()
        written = any(real.is_relative_to((root / folder / data).resolve()) for folder in WRITTEN)
    except OSError as error:  # too long a name
        raise ParameterError(f"{where}: {shown(weights)} is no path: {error.strerror}.") from None
    if written:
        raise ParameterError(
            f"{where}: {weights} is written by a run of this data set. To start from that run is a refit: write "
            "`clusterfit: {NAME: {source: RUN, method: METHOD, outputs: weights}}`."
        )
    if not there:
        raise ParameterError(f"{where}: there is no {shown(weights)} in {root}.")
