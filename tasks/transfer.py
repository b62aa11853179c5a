"""Stage `transfer`: one protocol on one run's representation of the data set that the run was trained on."""

from __future__ import annotations

from ssl_models.protocols._common.score import Representation
from tasks.artifacts.dataset import Stored
from tasks.artifacts.features import Features
from tasks.measuring.measure import measure
from tasks.measuring.representation import representation
from tasks.stage.context import Context, Result


def transfer(context: Context, run: str, protocol: str) -> Result:
    """data, encoder, features -> metrics/<data>/<run>/<protocol>.json, and a folder of its pictures and curves."""
    settings = context.parameters["transfer"][protocol]
    return measure(context, run, protocol, protocol, settings, lambda: own_data(context, run))


def own_data(context: Context, run: str) -> Representation:
    """A run's extracted features, memory-mapped, with the data that it was trained on."""
    features = Features(context.places.features(run))
    return representation(context, run, Stored(context.places.dataset), features.layers, features.read)
