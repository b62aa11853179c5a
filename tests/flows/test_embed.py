"""`covey embed` and `covey atlas`: a row for each picture, which leads back to it, and refusals in one line."""

import stat
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

from flows.cli import app
from flows.commands import atlas, embed
from ssl_models.datasets import folder as reader
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.encoders import build_encoder
from ssl_models.extraction import extract_features
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import write_encoder
from tasks.artifacts.features import Features
from tasks.exporting import embedding
from tasks.exporting.options import USUAL
from tasks.project.project import Project
from tasks.settings import params

SIZE, COUNT = 16, 30
SETTINGS = {"reader": "folder", "source": "photos", "size": SIZE}
PARAMETERS = {
    "seed": 0,
    "data": {"name": "photos", **SETTINGS},
    "machine": {"threads": 1, "precision": "float32"},
    "extract": {"size": 64},
    "maps": {},
    "pretrain": {"simclr": {}, "later": {}, "unread": {}},
    "clusterfit": {},
}


def call(project: Project, function: str, *arguments, shown=False):  # noqa: ARG001 - nothing is shown apart
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)(project, *arguments)


def paint(path: Path, colour, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-20, 20, (24, 32, 3))
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project whose run `simclr` has features of thirty pictures of two colours."""
    root = tmp_path_factory.mktemp("project")
    for number in range(COUNT):
        paint(
            root / "photos" / "ab"[number % 2] / f"{number:02d}.png",
            (200, 60, 40) if number % 2 else (30, 90, 220),
            number,
        )
    (root / "photos" / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "dvc.yaml").touch()
    data = Stored(root / "data" / "photos")
    data.write(reader.load(seed=0, source=str(root / "photos"), size=SIZE))
    torch.manual_seed(0)
    encoder = build_encoder("resnet", depth=10, width=4)
    places = Project.given(root, PARAMETERS).places
    write_encoder(places.encoder("simclr"), SimpleNamespace(encoder=encoder, classifier=lambda: None), data.shapes)
    write_encoder(places.encoder("unread"), SimpleNamespace(encoder=encoder, classifier=lambda: None), data.shapes)
    for split in ("train", "test"):
        found = extract_features(encoder, data.samples(split), torch.device("cpu"), size=64)
        batches = ({layer: values.numpy() for layer, values in batch.items()} for batch in found)
        Features(places.features("simclr")).write(split, batches, data.description[split])
    return root


@pytest.fixture
def here(made, monkeypatch, tmp_path):
    """The project is the working folder; what is written goes to `tmp_path`."""
    monkeypatch.setattr(params, "read", lambda *_: PARAMETERS)
    monkeypatch.setattr(params, "check_parameters", lambda *_: None)
    monkeypatch.setattr(embed, "call", call)
    monkeypatch.chdir(made)
    return tmp_path


def covey(*given, command="embed"):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, *map(str, given)])


def refused(*given, command="embed"):
    result = covey(*given, command=command)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("covey: ")
    return line


def test_a_row_for_each_picture_of_the_data_set(here, made):
    file = here / "vectors.parquet"
    result = covey("simclr", "-o", file, "--clusters", 2)
    assert result.exit_code == 0, result.output
    assert f"{COUNT} rows, vectors of" in result.stdout
    rows = parquet.read_table(file).to_pylist()
    data, features = Stored(made / "data" / "photos"), Features(made / "runs" / "photos" / "simclr" / "features")
    names = [name for split in ("train", "test") for name in data.origin(split)["file"]]
    assert [row["file"] for row in rows] == names
    assert [row["split"] for row in rows].count("test") == data.description["test"]
    assert [row["label"] for row in rows] == [name[0] for name in names]
    stored = np.concatenate([features.read(split, "pooled") for split in ("train", "test")]).astype(np.float32)
    assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), stored)
    for colour in "ab":  # two colours are two clusters
        assert len({row["cluster"] for row in rows if row["label"] == colour}) == 1
    assert len({row["cluster"] for row in rows}) == 2
    assert len({(row["x"], row["y"]) for row in rows}) == COUNT


def test_neighbours_are_the_nearest_rows_by_cosine(here):
    file = here / "vectors.parquet"
    assert covey("simclr", "-o", file, "--neighbours", 3).exit_code == 0
    rows = parquet.read_table(file).to_pylist()
    vectors = np.array([row["vector"] for row in rows], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = 1 - vectors @ vectors.T
    np.fill_diagonal(distances, np.inf)
    for own, row in zip(distances, rows, strict=True):
        assert sorted(row["neighbors"]) == ["distances", "ids"]
        assert np.allclose(own[row["neighbors"]["ids"]], row["neighbors"]["distances"], atol=1e-5)
        assert np.allclose(np.sort(own)[:3], row["neighbors"]["distances"], atol=1e-5)


def test_a_distance_is_that_to_the_centre_of_its_cluster(here):
    file = here / "vectors.parquet"
    assert covey("simclr", "-o", file, "--clusters", 2).exit_code == 0
    rows = [row for row in parquet.read_table(file).to_pylist() if row["split"] == "train"]
    for cluster in {row["cluster"] for row in rows}:
        own = [row for row in rows if row["cluster"] == cluster]
        units = np.array([np.array(row["vector"]) / np.linalg.norm(row["vector"]) for row in own])
        centre = units.mean(0) / np.linalg.norm(units.mean(0))
        assert np.allclose(1 - units @ centre, [row["distance"] for row in own], atol=1e-4)


def test_new_pictures_are_encoded_as_those_of_the_data_set_were(here, made):
    """The data set's own folder, given as new pictures, gives the same vectors and clusters."""
    own, new = here / "own.parquet", here / "new.parquet"
    assert covey("simclr", "-o", own, "--clusters", 2).exit_code == 0
    result = covey("simclr", made / "photos", "-o", new, "--clusters", 2)
    assert result.exit_code == 0, result.output
    assert f"{COUNT} pictures read, 1 left out: 1 unreadable" in result.stdout
    before = {row["file"]: row for row in parquet.read_table(own).to_pylist()}
    after = {row["file"]: row for row in parquet.read_table(new).to_pylist()}
    assert before.keys() == after.keys()
    for name, row in before.items():
        assert np.allclose(row["vector"], after[name]["vector"], atol=2e-3)
        assert row["cluster"] == after[name]["cluster"]
    assert after["b/01.png"]["width"] == 32
    assert "split" not in after["b/01.png"]


def test_files_and_lists_are_new_pictures_too(here, made):
    listed = made / "some.txt"
    listed.write_text("photos/a/00.png\nphotos/b/01.png\n")
    file = here / "few.parquet"
    assert covey("simclr", made / "photos/a/02.png", listed, "-o", file).exit_code == 0
    rows = parquet.read_table(file).to_pylist()
    assert [Path(row["file"]).name for row in rows] == ["02.png", "00.png", "01.png"]
    assert all(Path(row["file"]).is_file() for row in rows)
    assert all(len(row["neighbors"]["ids"]) == 2 for row in rows)


def test_one_picture_is_enough(here, made):
    file = here / "one.parquet"
    result = covey("simclr", made / "photos/a/02.png", "-o", file)
    assert result.exit_code == 0
    assert "1 picture read\n" in result.stdout
    (row,) = parquet.read_table(file).to_pylist()
    assert (row["x"], row["y"]) == (0, 0)
    assert row["neighbors"] == {"ids": [], "distances": []}


def test_another_layer_and_no_coordinates(here):
    file = here / "v.parquet"
    assert covey("simclr", "-o", file, "--layer", "res4", "--no-coordinates").exit_code == 0
    assert "x" not in parquet.read_schema(file).names


def test_many_rows_have_coordinates_only_where_they_are_asked_for(here, monkeypatch):
    monkeypatch.setattr(embedding, "MANY", COUNT - 1)
    monkeypatch.setattr(embedding, "LONG", COUNT)
    file = here / "v.parquet"
    result = covey("simclr", "-o", file)
    assert "x and y are left out for more than 29 rows; --coordinates writes them." in result.stdout
    assert "Searching the exact neighbours of 30 rows; this may take minutes." in result.stdout
    assert not {"x", "y"} & set(parquet.read_schema(file).names)
    result = covey("simclr", "-o", file, "--coordinates", "--force")
    assert "left out" not in result.stdout
    assert "Searching the exact neighbours and the coordinates of 30 rows" in result.stdout
    assert {"x", "y"} < set(parquet.read_schema(file).names)
    assert "left out" not in covey("simclr", "-o", file, "--no-coordinates", "--force").stdout
    monkeypatch.setattr(embedding, "MANY", COUNT)
    assert covey("simclr", "-o", file, "--force").exit_code == 0
    assert {"x", "y"} < set(parquet.read_schema(file).names)


def test_a_picture_without_a_label_has_none(here, made, monkeypatch):
    """Of many rows that are written block by block, too: a block may have no label at all."""
    monkeypatch.setattr(embedding, "BLOCK", 4)
    before = {}
    for split in ("train", "test"):
        path = made / "data" / "photos" / f"{split}.labels.npy"
        before[path] = path.read_bytes()
        labels = np.load(path)
        labels[:4] = -1
        np.save(path, labels)
    try:
        assert covey("simclr", "-o", here / "v.parquet").exit_code == 0
    finally:
        for path, content in before.items():
            path.write_bytes(content)
    rows = parquet.read_table(here / "v.parquet").to_pylist()
    assert [row["label"] for row in rows[:4]] == [None] * 4
    assert {row["label"] for row in rows[4:8]} <= {"a", "b"}


def test_the_same_bytes_again(here):
    for name in ("a", "b"):
        assert covey("simclr", "-o", here / f"{name}.parquet").exit_code == 0
    assert (here / "a.parquet").read_bytes() == (here / "b.parquet").read_bytes()


def test_refusals(here, made):
    file = here / "v.parquet"
    assert "simclr" in refused("simcrl", "-o", file)
    assert "covey run later" in refused("later", "-o", file)
    assert "not extracted yet; `covey run unread`" in refused("unread", "-o", file)
    assert "res5" in refused("simclr", "-o", file, "--layer", "res6")
    assert "there is no" in refused("simclr", "nowhere", "-o", file)
    assert "neither a folder of pictures" in refused("simclr", made / "dvc.yaml", "-o", file)
    assert "holds no image" in refused("simclr", made / "data", "-o", file)
    assert "could be read" in refused("simclr", made / "photos/a/broken.jpg", "-o", file)
    assert "make it first" in refused("simclr", "-o", here / "no" / "v.parquet")
    file.touch()
    assert "--force" in refused("simclr", "-o", file)
    assert not file.read_bytes()


def test_the_encoder_of_clips_takes_no_pictures_and_the_vectors_of_its_clips_are_written(here, made, monkeypatch):
    settings = {**PARAMETERS, "data": {"name": "clips", "reader": "video_folder"}}
    monkeypatch.setattr(params, "read", lambda *_: settings)
    frames = torch.randint(0, 256, (COUNT, 2, 3, SIZE, SIZE), dtype=torch.uint8)
    data, places = Stored(made / "data" / "clips"), Project.given(made, settings).places
    data.write(Dataset(Split({"frames": frames}), Split({"frames": frames[:6]})))
    encoder = build_encoder("resnet", depth=10, width=4)
    write_encoder(places.encoder("simclr"), SimpleNamespace(encoder=encoder, classifier=lambda: None), data.shapes)
    for split in ("train", "test"):
        found = extract_features(encoder, data.samples(split), torch.device("cpu"), size=64)
        batches = ({layer: values.numpy() for layer, values in batch.items()} for batch in found)
        Features(places.features("simclr")).write(split, batches, data.description[split])
    picture = made / "photos/a/00.png"
    said = "reads frames 2 x 3 x 16 x 16; new pictures have three colours. Without new ones `covey embed simclr` writes"
    assert said in refused("simclr", picture, "-o", here / "v.parquet")
    assert covey("simclr", "-o", here / "own.parquet").exit_code == 0
    assert parquet.read_table(here / "own.parquet").num_rows == COUNT + 6


def test_atlas_opens_the_table_with_pictures_and_makes_it_once(here, made, monkeypatch):
    told = here / "told.txt"
    program = here / "embedding-atlas"
    program.write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(atlas, "_program", lambda: str(program))
    written = []
    monkeypatch.setattr(atlas, "write", lambda *given: written.append(given[4]) or embed.write(*given))
    for _ in range(2):
        result = covey("simclr", command="atlas")
        assert result.exit_code == 0, result.output
    (words, _) = told.read_text().splitlines()
    file = made / ".covey" / "atlas" / "photos" / "simclr.pooled.parquet"
    assert words.startswith(f"{file} --x x --y y --neighbors neighbors --disable-projection --host 127.0.0.1")
    assert words.endswith("--image image")
    assert asdict(*written) == asdict(USUAL) | {"coordinates": True, "pictures": True}
    image = parquet.read_table(file)["image"][0].as_py()["bytes"]
    assert image.startswith(b"\x89PNG")


def test_atlas_says_what_is_missing(here, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(atlas.sys, "executable", "/nowhere/python")
    assert "pip install embedding-atlas" in refused("simclr", command="atlas")
