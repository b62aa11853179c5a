"""For torchvision: weights under its own names, for a model of its own that has no classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.exporting import networks
from tasks.exporting.form import Loading, Sample

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

LIBRARY = "torchvision"
ENCODERS = ("resnet", "torchvision")
KNOWN = (18, 34, 50, 101)
"""Depths that torchvision has a function for."""


def refusal(encoder: str, settings: Mapping[str, Any]) -> str:
    """torchvision's ResNet begins with 64 channels, whatever it is given."""
    width = settings.get("width")
    if encoder == "resnet" and width != networks.PAPER_WIDTH:
        return f"torchvision's ResNet has {networks.PAPER_WIDTH} channels in its first layer, and this one has {width}"
    return ""


def write(encoder: Encoder, sample: Sample, source: Path, folder: Path) -> Loading:  # noqa: ARG001
    """Writes the weights."""
    return _own(encoder, folder) if encoder.name == "resnet" else _theirs(encoder, folder)


def _own(encoder: Any, folder: Path) -> Loading:
    settings = encoder.settings
    block, blocks = networks.block_of(settings)
    norm, imports = networks.normalised(settings)
    networks.save(folder, networks.published_names(encoder))
    if settings["depth"] in KNOWN:
        begin = f"model = models.resnet{settings['depth']}({norm.removeprefix(', ')}).eval()"
    else:
        begin = f"model = models.ResNet(models.resnet.{block}, {blocks}{norm}).eval()"
    return Loading(
        (*imports, *networks.IMPORTS, "from torchvision import models"),
        (begin, networks.own_stem(settings, also="fc"), networks.LOAD),
        networks.own_standardisation(encoder),
        ("torch", "torchvision", "safetensors"),
    )


def _theirs(encoder: Any, folder: Path) -> Loading:
    from ssl_models.encoders.torchvision import ALONE, FIXED

    model, size = encoder.settings["model"], encoder.settings["size"]
    fixed = next((word for start, word in FIXED.items() if model.startswith(start)), None)
    given = {fixed: (size, size) if fixed == "input_size" else size} if fixed else {}
    given = ALONE.get(model, {}) | given | encoder.settings["options"]
    networks.save(folder, encoder.network.state_dict())
    return Loading(
        (*networks.IMPORTS, "from torchvision import models"),
        (
            f"model = models.{model}({networks.as_arguments(given).removeprefix(', ')}).eval()",
            f'model.set_submodule("{_last(model, given, encoder.network)}", torch.nn.Identity())',
            networks.LOAD,
        ),
        networks.library_standardisation(encoder),
        ("torch", "torchvision", "safetensors"),
    )


def _last(model: str, given: Mapping[str, Any], network: Any) -> str:
    """Where a model has the layer of an output a class, which the network of an encoder has not: "fc"."""
    import torch
    from torchvision import models

    with torch.device("meta"):
        whole = models.get_model(model, **given)
    (place,) = {name.rpartition(".")[0] for name in whole.state_dict().keys() - network.state_dict().keys()}
    return str(place)
