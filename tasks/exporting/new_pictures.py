"""New pictures through a run's encoder: read as those of its data set were, and encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_models.cores import cores
from ssl_models.datasets import picture_list
from ssl_models.datasets._common.files import printable
from ssl_models.datasets._common.passed_over import in_short
from ssl_models.datasets._common.pictures import SUFFIXES
from ssl_models.datasets._common.split import IMAGES
from ssl_models.datasets._pictures import decoding, in_folder
from ssl_models.datasets._pictures.arrangement import Entry, Listing
from ssl_models.datasets._pictures.found import Found, Picture
from ssl_models.extraction import extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.rows import middle, open_rows
from tasks.artifacts.encoders import input_shapes, read_encoder
from tasks.artifacts.tables import write_table
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.settings.values import shown

VECTORS, ORIGIN = "vectors.npy", "origin.parquet"
PICTURES = f"train.{IMAGES}.npy"
"""What `encode` leaves in its folder; the reader of pictures gives the last one its name."""
LIST = ".txt"


def encode(project: Project, run: str, sources: list[str], layer: str, room: str) -> str:
    """Decodes the pictures of `sources`, encodes them, and leaves vectors, pictures and names in the folder `room`.

    sources: folders, picture files, and lists of them. layer: of the encoder. Returns what was read, in one line.

    Raises:
        ParameterError: there is no picture, or the encoder reads no pictures of three colours.
    """
    torch.set_num_threads(cores())
    place, shape = Path(room), _shape(project, run)
    listing = _listing([_found(source) for source in sources], alone=len(sources) == 1)
    store = float(project.parameters["data"].get("store", _usual_store(project)))
    try:
        data = decoding.read(listing, ", ".join(sources), size=shape[-1], store=store, room=place)
    except ValueError as error:
        raise ParameterError(str(error)) from None
    origin = data.train.origin
    assert origin is not None, "pictures have names"
    assert origin.sizes is not None, "and sizes"
    columns = {"file": list(origin.files), "width": origin.sizes[:, 0].numpy(), "height": origin.sizes[:, 1].numpy()}
    write_table(place / ORIGIN, columns)
    stored = open_rows(place / PICTURES)
    np.save(place / VECTORS, np.concatenate(list(_vectors(project, run, layer, middle(stored, shape)))))
    without = in_short(data.left_out)
    return "\n".join(
        [f"{len(stored):,} picture{'s' * (len(stored) != 1)} read{f', {without}' if without else ''}", *data.notes]
    )


def _shape(project: Project, run: str) -> tuple[int, ...]:
    """(3, S, S) of what the run's encoder was trained on."""
    shapes = input_shapes(project.places.encoder(run))
    shape = shapes.get(IMAGES, ())
    if set(shapes) != {IMAGES} or shape[0] != 3:
        told = ", ".join(f"{part} {' x '.join(map(str, size))}" for part, size in shapes.items())
        raise ParameterError(
            f"the encoder of '{run}' reads {told}; new pictures have three colours. Without new ones "
            f"`covey embed {run}` writes the vectors of its own data."
        )
    return shape


def _usual_store(project: Project) -> float:
    """The default of the data set's reader; 1 where it has none, and stores pictures as they are used."""
    reader = project.parameters["data"]["reader"]
    return float(import_module(f"ssl_models.datasets.{reader}").load.__kwdefaults__.get("store", 1.0))


def _found(source: str) -> Found:
    path = Path(source)
    try:
        if path.is_dir():
            return in_folder.find(path)
        if path.suffix.lower() in SUFFIXES:
            return Found([Picture(source, path)], "a picture")
        if path.suffix.lower() == LIST:
            return picture_list.find(source)
    except (OSError, ValueError) as error:
        raise ParameterError(str(error)) from None
    raise ParameterError(
        f"{shown(source)} is neither a folder of pictures, nor a picture ({', '.join(sorted(SUFFIXES))}), nor a list "
        "of pictures (.txt)."
    )


def _listing(several: Sequence[Found], *, alone: bool) -> Listing:
    """All pictures as one split, in the order of the sources; a picture that is named twice is read once.

    alone: names of a folder's pictures count from the folder, as in a data set; else each is the path of its file.
    """
    entries: dict[str, Entry] = {}
    for found in several:
        for picture in found.pictures:
            path = picture.content
            name = str(path) if isinstance(path, Path) and not alone else picture.name
            entries.setdefault(name, Entry(name, path))
    return Listing(
        list(entries.values()),
        (),
        skipped=tuple(printable(text) for found in several for text in found.skipped),
        left_out=tuple(entry for found in several for entry in found.left_out),
        notes=tuple(note for found in several for note in found.notes),
    )


def _vectors(project: Project, run: str, layer: str, samples: Any) -> Iterator[np.ndarray]:
    """Blocks (B, D) float16 of a layer. Raises ParameterError for one that the encoder does not have."""
    device = pick_device()
    precision = resolve_precision(project.parameters["machine"]["precision"], device)
    encoder = read_encoder(project.places.encoder(run))
    with autocast(precision, device):
        for batch in extract_features(encoder, {IMAGES: samples}, device, **project.parameters["extract"]):
            yield batch[layer].numpy()
