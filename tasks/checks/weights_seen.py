"""The weights that runs start from, each read once in a look at their settings, however many runs take them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder
    from ssl_models.weights.fitting import Fit


class WeightsSeen:
    """Takes the place of `loaded`. What fits an encoder fits any other of the same settings, which is given nothing."""

    def __init__(self) -> None:
        self._fits: dict[tuple[str, str, str | Path, bool], Fit] = {}

    def __call__(self, encoder: Encoder, *, weights: str | Path, told: str, whole: bool) -> Fit:
        """How weights fit. Raises as `ssl_models.weights.load` does."""
        from tasks.training.building import loaded

        key = encoder.name, json.dumps(encoder.settings, sort_keys=True), weights, whole
        if key not in self._fits:
            self._fits[key] = replace(loaded(encoder, weights=weights, told=told, whole=whole), tensors={})
        return self._fits[key]
