"""Weights that come from elsewhere, given to an encoder: a file, or those that a library publishes under a name."""

from __future__ import annotations

from pathlib import Path

from ssl_models.encoders.encoder import Encoder
from ssl_models.weights.fitting import Fit, best_fit
from ssl_models.weights.published import fetched
from ssl_models.weights.reading import read


def load(encoder: Encoder, weights: str | Path, *, whole: bool = False) -> Fit:
    """Gives an encoder weights, in place, and tells what of them fitted. Draws nothing from the global RNG.

    weights: the name of published ones; or the Path of a file (.safetensors, or what torch.save wrote), or of the
    folder of a trained encoder. whole: refuse weights that lack a tensor of the encoder, for a run that trains nothing.

    Raises:
        FileNotFoundError: there is no such file, or no network to fetch published weights by.
        ValueError: an unknown name, a file that cannot be read, weights of another network.
    """
    groups = read(weights) if isinstance(weights, Path) else fetched(encoder, weights)
    fit = best_fit(encoder, groups, str(weights))
    fit.require(whole=whole)
    fit.copy_into(encoder)
    return fit
