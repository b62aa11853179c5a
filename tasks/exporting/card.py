"""The card of an export, README.md: what a reader needs to load it, to feed it, and to judge it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tasks.exporting.form import Form, Loading, Sample
from tasks.exporting.origin import Origin, without_folders
from tasks.process.duration import duration

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

TASKS = {"pictures": "image-feature-extraction", "sound": "feature-extraction", "ids": "feature-extraction"}
"""The Hub's names of what a model does."""


def render(origin: Origin, form: Form, encoder: Encoder, sample: Sample, loading: Loading, difference: float) -> str:
    """The text of the card."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("card.md.j2").render(
        front=_yaml(_front(origin, form, sample)),
        origin=origin,
        run=origin.run,
        reference=origin.run.training.get("reference", ""),
        encoder=encoder,
        sample=sample,
        shape=", ".join(map(str, sample.shape)),
        loading=loading,
        packages=[(name, _installed(name)) for name in loading.packages],
        difference=f"{difference:.1g}",
        data=_data(origin),
        budget=_budget(origin),
        settings=_yaml(without_folders({"encoder": {"name": encoder.name, **encoder.settings}}) | origin.settings),
        channels=_channels(sample),
    )


def _front(origin: Origin, form: Form, sample: Sample) -> dict[str, Any]:
    """The lines before a card that the Hugging Face Hub reads. The licence is not known, and so left out."""
    tags = ["covey", "self-supervised-learning", origin.run.method]
    return {
        "library_name": form.LIBRARY,
        "pipeline_tag": TASKS[sample.given],
        "tags": tags if origin.run.role == "self-supervised" else [tags[0], origin.run.method],
    }


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110).strip()


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _channels(sample: Sample) -> str:
    """What the channels of pictures are, where their number tells."""
    if sample.given != "pictures":
        return ""
    return {1: "grey", 3: "red, green, blue"}.get(sample.shape[0], "as in the data")


def _data(origin: Origin) -> str:
    """The data set in a sentence, without where it lay."""
    known = origin.prepare
    if "train" not in known:
        return f"`{origin.data}`. How many samples it had is not recorded here."
    left = len(known.get("skipped") or ())
    skipped = f"; {left:,} file{'s' * (left > 1)} could not be read" if left else ""
    parts = " and ".join(f"{part} ({', '.join(map(str, shape))})" for part, shape in known.get("shapes", {}).items())
    labels = f"{len(known['classes'])} classes" if known.get("labelled") else "no labels"
    return (
        f"`{origin.data}`: {known['train']:,} samples to train on and {known['test']:,} to measure on, each {parts}, "
        f"{labels}{skipped}."
    )


def _budget(origin: Origin) -> str:
    """What the training took, in a sentence."""
    known = origin.run.training
    if origin.run.taken:
        return "It was not trained here: the weights were taken as they are."
    if known.get("trained") is False:
        return "It was not trained: the weights are random."
    if "epochs" not in known:
        return "What its training took is not recorded here."
    took = f", {duration(known['training_seconds'])}" if "training_seconds" in known else ""
    return (
        f"Its training took {known['epochs']} epochs, {known['samples_seen']:,} samples seen{took}, on "
        f"{known.get('device')} in {known.get('precision')}."
    )
