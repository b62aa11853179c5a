"""An encoder's export: a folder with what another library loads, and a card; checked before it appears."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssl_models.errors import first_line
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import input_shapes, read_encoder
from tasks.exporting import card, check
from tasks.exporting.form import Sample
from tasks.exporting.formats import form_of
from tasks.exporting.origin import origin
from tasks.exporting.place import whole_folder
from tasks.project.project import Project
from tasks.settings.schema import ParameterError

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

WORDS = "words.txt"
CHECKED = 4
"""Samples that the export and the encoder are compared on."""


def export(project: Project, run: str, to: str, name: str) -> float:
    """Writes the export of a run's encoder to the folder `name`; the largest difference from the encoder's vectors.

    `formats.refuse` has been asked. Raises ParameterError for a model that the library cannot express, and where the
    folder cannot be written.
    """
    source, form, folder = project.places.encoder(run), form_of(to), Path(name)
    encoder = read_encoder(source)
    ((part, shape),) = input_shapes(source).items()
    sample = Sample(part, tuple(shape[-encoder.modalities[0].AXES :]))
    with whole_folder(folder) as temporary:
        try:
            loading = form.write(encoder, sample, source, temporary)
        except (ValueError, RuntimeError) as error:
            raise ParameterError(f"'{run}' cannot be exported to {to}: {first_line(error)}") from error
        if part == "tokens":
            words: list[str] = Stored(project.places.dataset).known["words"]
            (temporary / WORDS).write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        batch = _batch(encoder, sample)
        difference = check.difference(temporary, loading, sample, batch, _vectors(encoder, batch))
        (temporary / "README.md").write_text(
            card.render(origin(project, run), form, encoder, sample, loading, difference), encoding="utf-8"
        )
    return difference


def _batch(encoder: Encoder, sample: Sample) -> np.ndarray:
    """(B, ...) as the encoder is given it: random numbers in its range, always the same."""
    generator, shape = np.random.default_rng(0), (CHECKED, *sample.shape)
    if sample.part == "tokens":
        return generator.integers(0, encoder.settings["vocabulary"], shape)
    numbers = generator.random(shape, np.float32)
    return numbers * 2 - 1 if sample.part == "sound" else numbers


def _vectors(encoder: Encoder, batch: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        found: np.ndarray = encoder(torch.from_numpy(batch)).numpy()
    return found
