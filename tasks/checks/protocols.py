"""Checks a protocol's settings before anything starts, those that name layers against the layers of a run's encoder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssl_models.errors import DoesNotApply, NeedsParts, NoSuchLayer
from tasks.settings import params
from tasks.settings.encoder_stages import needs
from tasks.settings.encoders import block_of, encoder_of
from tasks.settings.schema import CODE
from tasks.settings.truth import KINDS, gives

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

IMAGES, THERE = "images", "there"
"""A part that some protocols need, and the keyword by which `refuse` asks for the layers that there are."""


class Layers:
    """The layers of encoders, from first to last as features have them; each encoder is built once."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, ...] | None] = {}

    def of(self, encoder: Mapping[str, Any], data: DataSpec, measured: DataSpec) -> tuple[str, ...] | None:
        """Of an encoder for `data`, given samples of `measured`; None where it does not read such samples."""
        key = json.dumps([encoder, *(sorted(each.shapes.items()) for each in (data, measured))], sort_keys=True)
        if key not in self._found:
            self._found[key] = _layers(dict(encoder), data, measured)
        return self._found[key]


def _layers(encoder: dict[str, Any], data: DataSpec, measured: DataSpec) -> tuple[str, ...] | None:
    """As `Layers.of`. A single sample is computed: on the meta device, torch would take a second to start."""
    import torch

    from ssl_models.encoders import encoder_class
    from ssl_models.extraction import feature_layers
    from ssl_models.modalities import words

    samples = {
        part: torch.zeros(1, *shape, dtype=torch.int32 if part in words.PARTS else torch.float32)
        for part, shape in measured.shapes.items()
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would take longer to start than a sample takes
    try:
        whole = encoder_class(encoder.pop("name")).from_data(data, **encoder)
        return feature_layers(whole.reading(samples), samples)
    except NeedsParts:  # which the stages themselves say
        return None
    finally:
        torch.set_num_threads(threads)


def check_transfer(
    parameters: Mapping[str, Any],
    run: str,
    protocol: str,
    data: DataSpec,
    measured: DataSpec,
    layers: Layers,
    looked_at: set[tuple[str, Any]],
) -> None:
    """Checks the settings of a protocol, or of the target of this name, with the encoder of a run.

    data: what the run is trained on. measured: what the protocol measures. looked_at: protocols with the layers that
    they have been checked against; it grows.
    Raises ValueError; where another encoder would do, NoSuchLayer, which names the run and its encoder.
    """
    target = parameters["targets"].get(protocol)
    settings = parameters["transfer"][protocol] if target is None else params.pick_out(target, params.TARGET)
    name = protocol if target is None else target["protocol"]
    encoder = encoder_of(parameters, block_of(parameters, run))
    reader = (target or parameters)["data"]["reader"]
    there = layers.of(encoder, data, measured) if _applies(name, reader, measured) else None
    if (protocol, there) in looked_at:
        return
    looked_at.add((protocol, there))
    try:
        check_protocol(name, settings, there)
    except NoSuchLayer as error:
        told = " ".join(str(encoder[key]) for key in ("name", "model") if key in encoder)
        raise NoSuchLayer(f"for the run '{run}', whose encoder is {told}: {error}") from None


def _applies(protocol: str, reader: str, measured: DataSpec) -> bool:
    """Whether data of this reader can have the pictures and the annotations that a protocol cannot do without."""
    needed = needs(protocol)
    known = all(gives(CODE, reader, kind) for kind in KINDS if kind in needed)
    return known and (IMAGES not in needed or IMAGES in measured.shapes)


def check_protocol(protocol: str, settings: Mapping[str, Any], layers: Sequence[str] | None) -> None:
    """Has the protocol refuse what it would: by asking it, or by running it on forty random vectors of each layer.

    layers: those that there are; None where they are not known, and any name will do.
    Raises NoSuchLayer for settings that these layers cannot meet, ValueError for others.
    """
    import numpy

    from ssl_models.protocols._common.score import Representation

    module = import_module(f"ssl_models.protocols.{protocol}")
    if hasattr(module, "refuse"):
        given = (module.evaluate.__kwdefaults__ or {}) | dict(settings)
        if layers is not None and THERE in inspect.signature(module.refuse).parameters:
            given |= {THERE: tuple(layers)}
        module.refuse(**{name: value for name, value in given.items() if name != "seed"})
        return
    generator = numpy.random.default_rng(0)
    features = {split: generator.normal(size=(40, 8)).astype(numpy.float32) for split in ("train", "test")}
    tiny = Representation(
        tuple(layers or ("pooled",)), lambda split, _layer: features[split], lambda _split: numpy.arange(40) % 4, 4
    )
    try:
        with suppress(DoesNotApply):  # to forty vectors; settings are looked at before
            module.evaluate(tiny, seed=0, **settings)
    except NoSuchLayer:
        if layers is not None:
            raise
