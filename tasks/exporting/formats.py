"""The forms that an encoder is exported in, by name, and what is refused before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from tasks.artifacts.encoders import DESCRIPTION
from tasks.artifacts.trained import require_run, require_same_samples, require_trained
from tasks.exporting import place
from tasks.exporting.form import Form
from tasks.exporting.options import FORMS
from tasks.process.files import legible, read_json
from tasks.project.project import Project
from tasks.settings.schema import ParameterError, unknown


def form_of(name: str) -> Form:
    """The file of this folder of that name."""
    return cast(Form, import_module(f"tasks.exporting.{name}"))


def refuse(project: Project, run: str, to: str, folder: Path, *, force: bool) -> None:
    """Raises ParameterError for what cannot be exported, and for a folder that cannot be written."""
    if to not in FORMS:
        raise unknown("format", to, FORMS, "covey export --to")
    require_run(project, run, "covey export")
    require_trained(project, run)
    path = project.places.encoder(run) / DESCRIPTION
    with legible(path):
        described = read_json(path)
        name, settings, parts = described["name"], described["settings"], tuple(described["shapes"])
    if reason := refusal(to, name, settings):
        others = " or ".join(form for form in FORMS if not refusal(form, name, settings))
        raise ParameterError(f"the encoder of '{run}' cannot be exported to {to}: {reason}; use --to {others}.")
    if len(parts) != 1:
        raise ParameterError(f"the encoder of '{run}' reads {' and '.join(parts)}; one that reads one can be exported.")
    if parts == ("tokens",):
        require_same_samples(project, run, "words")
    place.refuse(folder, force=force)


def refusal(to: str, encoder: str, settings: Mapping[str, Any]) -> str:
    """Why an encoder has no such form; "" where it has."""
    form = form_of(to)
    if form.ENCODERS and encoder not in form.ENCODERS:
        *others, last = map(repr, form.ENCODERS)
        return f"it is of the kind '{encoder}', and {to} has {', '.join(others)} and {last}"
    return form.refusal(encoder, settings)
