"""`python -m benchmarks.scale [RUN...]`: what an encoder that learnt from tiles knows of whole pictures, and of tiles.

Weighted k-NN on the last layer of trained runs of the active data set: of the picture as it is; of the picture
enlarged so that a third of it is as large as a tile in training; and of nine tiles, encoded one by one as in training
(normalised, without a gap) and concatenated. Writes results/methods/<data>.scale.csv: top-1 in %.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.methods import FOLDER
from ssl_models.encoders.encoder import Encoder
from ssl_models.modalities.inputs import inputs
from ssl_models.protocols import knn
from ssl_models.protocols._common.score import Representation
from ssl_models.views.patches import GRID, cut_tiles, normalise_tiles
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import read_encoder
from tasks.process.files import whole_file
from tasks.project.paths import Places
from tasks.project.project import Project

RUNS = ("random", "supervised", "rotation", "jigsaw", "relative_position", "cpc", "near_far_patches")
TILE = 16

Reading = Callable[[Encoder, Tensor], Tensor]


def whole(encoder: Encoder, pictures: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, dim)."""
    return encoder(pictures)


def enlarged(encoder: Encoder, pictures: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, dim), of the picture scaled to three tiles a side."""
    return encoder(functional.interpolate(pictures, size=(GRID * TILE, GRID * TILE), mode="bilinear"))


def tiles(encoder: Encoder, pictures: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 9 dim)."""
    cut = normalise_tiles(cut_tiles(pictures, torch.Generator().manual_seed(0), tile=TILE, gap=0.0))
    return encoder(cut.flatten(0, 1)).reshape(len(pictures), -1)


READINGS: dict[str, Reading] = {"whole": whole, "enlarged": enlarged, "tiles": tiles}


def main(names: list[str], root: Path | None = None) -> int:
    """Measures the named runs, or RUNS; 0."""
    root = root or Path.cwd()
    torch.set_num_threads(1)
    place = Project(root).places
    with whole_file(root / FOLDER / f"{place.data}.scale.csv") as path, open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *READINGS])
        for run in names or RUNS:
            encoder = read_encoder(place.encoder(run))
            found = [f"{100 * top1(place, encoder, reading):.1f}" for reading in READINGS.values()]
            writer.writerow([run, *found])
            print(run, *(f"{name} {value}" for name, value in zip(READINGS, found, strict=True)), flush=True)
    return 0


def top1(place: Places, encoder: Encoder, reading: Reading) -> float:
    """k-NN top-1, from 0 to 1, of the features that a reading takes of the data set's pictures."""
    features = {split: read(place, split, encoder, reading) for split in ("train", "test")}
    labels = {split: Stored(place.dataset).labels(split) for split in features}
    representation = Representation(
        ("pooled",), lambda split, _: features[split], lambda split: labels[split], int(labels["train"].max()) + 1
    )
    return next(score.value for score in knn.evaluate(representation, seed=0).scores if score.metric == "top1")


@torch.inference_mode()
def read(place: Places, split: str, encoder: Encoder, reading: Reading) -> numpy.ndarray:
    images = torch.from_numpy(numpy.array(Stored(place.dataset).samples(split)["images"]))
    return torch.cat([reading(encoder, inputs(batch)) for batch in images.split(512)]).numpy()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
