"""A run's method: a fresh encoder, the weights that it starts from, and the method around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import encoder_class
from ssl_models.method import Method, method_class, require_parts
from tasks.settings import params, recipes
from tasks.settings.encoders import INITIALISE, encoder_of, place_of

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder
    from ssl_models.weights.fitting import Fit

    Start = Callable[[Encoder], Fit]
    Load = Callable[..., Fit]

LOADER = "ssl_models.weights"
"""Imported where a run starts from weights; the hash of its stage then covers it (tasks/staleness/code_hash.py)."""


def build_method(
    parameters: dict[str, Any],
    name: str,
    block: dict[str, Any],
    data: DataSpec,
    seed: int,
    *,
    root: Path,
    start: Start | None = None,
    load: Load | None = None,
) -> tuple[Method, Fit | None]:
    """A fresh encoder and the method around it, and what came of the weights that it starts from, where it does.

    block: holds the hyper-parameters, among other things; the data set's recipe adds to them. root: where the paths of
    files start.
    start: gives the fresh encoder its weights. load: gives a method's encoder the weights that it names itself,
    by default `loaded`. Raises ValueError for weights that nothing would come of.
    """
    torch.manual_seed(seed)
    settings = encoder_of(parameters, block)
    kind = method_class(name)
    require_parts(kind, name, data)
    encoder = encoder_class(settings.pop("name")).from_data(data, **settings)
    fit = None if start is None else start(encoder)
    own = params.pick(block, recipes.method_fields(name))
    method = kind(encoder, data, **recipes.taken(parameters, name, block), **own)  # type: ignore[call-arg]
    if start is not None and not method.trains:
        raise ValueError(f"the method '{name}' trains nothing; to take weights as they are, `method: pretrained`")
    if start is not None and all(part is not encoder for part in method.encoder.modules()):
        raise ValueError(f"the method '{name}' makes a network of its own, which cannot start from weights")
    if (named := method.starts_from) is not None:
        fit = (load or loaded)(method.encoder, weights=place_of(root, named), told=named, whole=True)
    return method, fit


def starting(root: Path, block: dict[str, Any], load: Load | None = None) -> Start | None:
    """What gives an encoder the weights that a block's `initialise` names; None where it names none. load: as above."""
    named = block.get(INITIALISE)
    return None if named is None else partial(load or loaded, weights=place_of(root, named), told=named, whole=False)


def loaded(encoder: Encoder, *, weights: str | Path, told: str, whole: bool) -> Fit:
    """`ssl_models.weights.load`; told: what a record calls the weights, wherever the project lies."""
    found: Fit = import_module(LOADER).load(encoder, weights, whole=whole)
    return replace(found, weights=told)
