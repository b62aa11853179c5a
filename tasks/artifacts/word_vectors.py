"""Vectors of words to take away: a run's, written to a file in the formats of word2vec."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_models import word_vectors
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import read_encoder
from tasks.artifacts.trained import require_run, require_same_samples, require_trained
from tasks.artifacts.writable import cannot, require_writable
from tasks.process import disks
from tasks.process.files import whole_file
from tasks.project.project import Project
from tasks.settings.schema import ParameterError


def refuse(project: Project, run: str, file: Path, *, force: bool) -> None:
    """Raises ParameterError for a run without an encoder of the selected data, and a file that cannot be written."""
    require_run(project, run, "covey vectors")
    require_trained(project, run)
    require_same_samples(project, run, "words")
    try:
        word_vectors.format_of(file)
    except ValueError as error:
        raise cannot(file, error) from None
    require_writable(file, force=force)


def export(project: Project, run: str, name: str) -> list[int]:
    """Writes the vectors of a run's encoder to the file `name`, without that of no word: how many, and of what size.

    Raises:
        ParameterError: the encoder has no vectors of words, or not those of these data; the file cannot be written.
    """
    encoder, file = read_encoder(project.places.encoder(run)), Path(name)
    given: Any = getattr(encoder, "vectors", None)
    if given is None:
        raise ParameterError(f"the encoder of '{run}', '{encoder.name}', has no vectors of words; 'bag' has.")
    words: list[str] = Stored(project.places.dataset).known.get("words") or []
    vectors = np.asarray(given.detach().cpu().numpy(), np.float32)
    if len(words) != len(vectors):
        raise ParameterError(
            f"the encoder of '{run}' has vectors of {len(vectors)} words, and the data set '{project.places.data}' has "
            f"{len(words)}; `covey run {run} --force` trains it again."
        )
    try:
        _write(file, words[1:], vectors[1:])
    except (ValueError, OSError) as error:
        if disks.is_full(error):
            raise
        raise cannot(file, error) from None
    return [len(words) - 1, vectors.shape[1]]


def _write(file: Path, words: Sequence[str], vectors: np.ndarray) -> None:
    """The same vectors give the same bytes, compressed or not."""
    kind, zipped = word_vectors.format_of(file)
    with whole_file(file) as temporary, open(temporary, "wb") as plain:
        if not zipped:
            word_vectors.write(plain, words, vectors, kind)
            return
        with gzip.GzipFile(filename="", fileobj=plain, mode="wb", mtime=0) as packed:
            word_vectors.write(packed, words, vectors, kind)  # type: ignore[arg-type]
