"""What `benchmarks.scale` reads of an encoder at each scale, on a project with a network and pictures made here."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor

from benchmarks import scale
from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.methods.random import Random
from tasks.artifacts.encoders import write_encoder
from tasks.project.paths import Places
from tests.tasks.conftest import make_project

torch.set_num_threads(1)
ENCODER = {"name": "resnet", "depth": 10, "width": 4, "stem_stride": 2}


def network() -> Encoder:
    torch.manual_seed(0)
    return build_encoder(**ENCODER).eval()


def test_a_third_of_the_enlarged_picture_is_a_tile_and_tiles_are_encoded_one_by_one() -> None:
    sides: list[tuple[int, ...]] = []
    encoder = network()
    encoder.register_forward_pre_hook(lambda _, inputs: sides.append(tuple(inputs[0].shape)))
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        shapes = {name: tuple(reading(encoder, pictures).shape) for name, reading in scale.READINGS.items()}
    assert shapes == {"whole": (2, encoder.dim), "enlarged": (2, encoder.dim), "tiles": (2, 9 * encoder.dim)}
    assert sides == [(2, 3, 32, 32), (2, 3, 48, 48), (18, 3, 16, 16)]


def test_a_tile_s_features_stand_at_its_place() -> None:
    encoder = network()
    picture = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    changed = picture.clone()
    changed[..., 34:46, 2:14] = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))  # lower left
    with torch.inference_mode():
        first, second = (scale.tiles(encoder, pictures).view(9, encoder.dim) for pictures in (picture, changed))
    assert [bool((a != b).any()) for a, b in zip(first, second, strict=True)] == [n == 6 for n in range(9)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two classes, lying and standing stripes in noise, and an untrained network."""
    place = Places(make_project(tmp_path), "world")
    place.dataset.mkdir(parents=True)
    for number, split in enumerate(("train", "test")):
        labels = numpy.arange(40) % 2
        images: Tensor = torch.randint(0, 256, (40, 3, 48, 48), generator=torch.Generator().manual_seed(number))
        images[labels == 0, :, ::4] = 255
        images[labels == 1, ..., ::4] = 255
        numpy.save(place.dataset / f"{split}.images.npy", images.to(torch.uint8).numpy())
        numpy.save(place.dataset / f"{split}.labels.npy", labels)
    (place.dataset / "dataset.json").write_text(json.dumps({"shapes": {"images": [3, 48, 48]}}))
    data = DataSpec(40, {"images": (3, 48, 48)})
    write_encoder(place.encoder("random"), Random(network(), data), data.shapes)
    return tmp_path


def test_a_row_a_run_in_per_cent(project: Path) -> None:
    assert scale.main(["random"], project) == 0
    (row,) = csv.DictReader((project / "results/methods/world.scale.csv").open())
    assert list(row) == ["run", "whole", "enlarged", "tiles"]
    assert row["run"] == "random"
    assert (float(row["whole"]), float(row["enlarged"])) == (100, 100)
    assert float(row["tiles"]) > 75  # 50 is chance; the contrast to the noise is normalised away
