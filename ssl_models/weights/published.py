"""Weights that torchvision and timm publish, fetched by name where they are not in the machine's cache yet."""

from __future__ import annotations

import difflib
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import first_line
from ssl_models.parallel.processes import rank
from ssl_models.weights.reading import Group

DEFAULT = "DEFAULT"
ANSWER_SECONDS = 10.0


def fetched(encoder: Encoder, name: str) -> list[Group]:
    """The tensors of published weights. name: "DEFAULT" for what the library holds for the best, or one of its names.

    Raises ValueError for a name that the library does not know, FileNotFoundError where they cannot be fetched.
    """
    if encoder.name not in LIBRARIES:
        raise ValueError(
            f"weights '{name}': nobody publishes weights of the encoder '{encoder.name}'; give a file, as "
            f"./{name}.pth, or an encoder of {' or '.join(LIBRARIES)}"
        )
    known, fetch = LIBRARIES[encoder.name](encoder.settings)
    model = encoder.settings["model"]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(
            f"weights '{name}': {encoder.name} has none of this name for '{model}'.{hint} "
            f"Known: {', '.join(known) or 'none'}."
        )
    if rank() == 0:
        print(f"fetching the weights {name} of {encoder.name} model {model}, where they are not here yet", flush=True)
    try:
        with torch.random.fork_rng(devices=[]):
            return [Group("", fetch(name))]
    except Exception as error:  # each library and each way of fetching has errors of its own
        said = first_line(error, 160)
        raise FileNotFoundError(
            f"weights '{name}': those of {encoder.name}'s '{model}' could not be fetched from {known[name]} ({said}). "
            "Where there is no network, fetch them on another machine and give the file: `weights: FILE`"
        ) from error


Known = dict[str, str]
"""Name -> the address that it is fetched from."""


def _torchvision(settings: dict[str, Any]) -> tuple[Known, Callable[[str], dict[str, torch.Tensor]]]:
    from torchvision.models import get_model_weights

    entries = get_model_weights(settings["model"]).__members__
    known = {name: str(entry.url) for name, entry in entries.items()}
    return known, lambda name: dict(entries[name].get_state_dict(progress=False, check_hash=True))


def _timm(settings: dict[str, Any]) -> tuple[Known, Callable[[str], dict[str, torch.Tensor]]]:
    import timm

    model = settings["model"].partition(".")[0]
    names = timm.list_pretrained(f"{model}.*")
    known = {name.partition(".")[2]: f"huggingface.co/timm/{name}" for name in names}
    if known:
        known = {DEFAULT: f"huggingface.co/timm/{settings['model']}"} | known

    def fetch(name: str) -> dict[str, torch.Tensor]:
        _offline_at_once()
        chosen = settings["model"] if name == DEFAULT else f"{model}.{name}"
        given = {"in_chans": settings.get("channels", 3), "num_classes": 0, **(settings.get("options") or {})}
        return dict(timm.create_model(chosen, pretrained=True, **given).state_dict())

    return known, fetch


def _offline_at_once() -> None:
    """Has Hugging Face's library look into its cache alone where its host does not answer: it asks for 50 seconds."""
    constants: Any = import_module("huggingface_hub.constants")  # timm brings it
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=ANSWER_SECONDS)
    except urllib.error.HTTPError:  # it answers
        return
    except OSError:
        constants.HF_HUB_OFFLINE = True


LIBRARIES = {"torchvision": _torchvision, "timm": _timm}
"""An encoder's name -> the weights that are published for its settings, and how one is fetched."""
