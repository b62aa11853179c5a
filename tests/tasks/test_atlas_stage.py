"""The stage that makes maps, on data and features made by hand: which runs, which samples, what is written."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tasks import atlas
from tasks.artifacts import maps
from tasks.artifacts.dataset import Stored
from tasks.artifacts.tables import read_table, write_table
from tasks.project.project import Project
from tasks.stage.context import Context, NotApplicable
from tasks.stage.run import _mark, _refuse_unfit
from tests.graphs import stage as drawn

COUNTS = {"train": 60, "test": 30}
CLASSES = ["ant", "bee", "cat"]
SETTINGS = {"runs": "winner", "samples": 1000, "neighbours": 4, "clusters": 3}
RUNS = {"random": {"method": "random"}, "rotation": {"method": "rotation"}, "simclr": {"method": "simclr"}}
SCORES = {"random": 0.2, "rotation": 0.4, "simclr": 0.6}


def photograph(seed: int, side: int = 32) -> Image.Image:
    """Smooth at every scale, as photographs are."""
    generator = np.random.default_rng(seed)
    layers = [generator.normal(0, 50 / level, (2**level, 2**level, 3)) for level in range(1, 6)]
    whole = sum(np.asarray([np.asarray(Image.fromarray(one[..., c].astype(np.float32)).resize((side, side), 3))
                            for c in range(3)]) for one in layers)  # fmt: skip
    return Image.fromarray(np.clip(whole.transpose(1, 2, 0) + 128, 0, 255).astype(np.uint8))


def images(start: int, count: int) -> np.ndarray:
    return np.stack([np.asarray(photograph(start + n)).transpose(2, 0, 1) for n in range(count)])


def parts(kind: str, split: str) -> dict[str, np.ndarray]:
    count, generator = COUNTS[split], np.random.default_rng(len(split))
    if kind == "images":
        return {"images": images(1000 * len(split), count)}
    if kind == "sound":
        return {"sound": generator.integers(-9000, 9000, (count, 1600)).astype(np.int16)}
    if kind == "tokens":
        return {"tokens": generator.integers(1, 40, (count, 12)).astype(np.int32)}
    return {kind: generator.normal(size=(count, 5)).astype(np.float32)}


def make(
    root: Path, kind: str = "images", *, labelled: bool = True, scored: bool = True, floor: float = 0.2, **settings: Any
) -> Project:
    """A project in which everything before the stage has run."""
    parameters = {
        "seed": 5,
        "data": {"name": "mine"},
        "machine": {"threads": 1},
        "pretrain": RUNS,
        "clusterfit": {},
        "transfer": {"linear": {}},
        "targets": {},
        "maps": SETTINGS | settings,
    }
    project = Project.given(root, parameters)
    folder = project.places.dataset
    folder.mkdir(parents=True)
    facts: dict[str, Any] = {**COUNTS, "classes": CLASSES if labelled else [], "labelled": labelled, "skipped": []}
    facts |= {"shapes": {part: values.shape[1:] for part, values in parts(kind, "test").items()}}
    facts |= {"known": {"words": ["", *(f"w{n}" for n in range(40))]}} if kind == "tokens" else {}
    facts |= {"label_sets": {"colour": ["red", "blue"]}} if labelled else {}
    (folder / "dataset.json").write_text(json.dumps(facts))
    for split, count in COUNTS.items():
        for part, values in parts(kind, split).items():
            np.save(folder / f"{split}.{part}.npy", values)
        angle = np.radians(np.arange(count) * 4.0 - 60)
        factors = {"size": np.arange(count) / 10, "turn": np.stack([np.cos(angle), np.sin(angle)], 1)}
        np.savez(folder / f"{split}.factors.npz", **(factors if labelled else {}))
        if labelled:
            np.save(folder / f"{split}.labels.npy", np.arange(count) % 3 - (np.arange(count) == 7))
            np.save(folder / f"{split}.labels.colour.npy", np.arange(count) % 2)
            write_table(folder / f"{split}.origin.parquet", {"file": [f"{split}/{n}.jpg" for n in range(count)]})
    for place, run in enumerate(RUNS):
        write_features(project, run, place)
        path = project.places.metric(run, "linear.json")
        path.parent.mkdir(parents=True)
        value = floor if run == "random" else SCORES[run]
        score = {"layer": "pooled", "metric": "top1", "value": value, "low": value - 0.02, "high": value + 0.02}
        path.write_text(json.dumps({"scores": [score]} if scored else {"not_applicable": "linear: no labels"}))
    return project


def write_features(project: Project, run: str, seed: int, values: dict[str, np.ndarray] | None = None) -> None:
    folder, generator = project.places.features(run), np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in COUNTS.items():
        features = generator.normal(size=(count, 6)) + 5 * np.eye(3, 6)[np.arange(count) % 3]
        features = features if values is None else values[split]
        np.save(folder / f"{split}.pooled.npy", features.astype(np.float16))


def run(project: Project) -> tuple[dict[str, Any], dict[str, Any]]:
    """maps.json, and the content of every table by its name."""
    atlas.atlas(Context(project, "atlas", project.root, None))  # type: ignore[arg-type]
    folder = project.places.maps
    names = {path: path.stem.removeprefix("run-") for path in sorted(folder.glob("*.parquet"))}
    return json.loads((folder / "maps.json").read_text()), {name: read_table(p) for p, name in names.items()}


@pytest.fixture(scope="module")
def winner(tmp_path_factory):
    project = make(tmp_path_factory.mktemp("winner"))
    return project, *run(project)


def test_the_run_that_ranks_first_is_mapped(winner):
    _, facts, tables = winner
    assert facts["runs"] == ["simclr"]
    assert facts["winner"] == "simclr"
    assert facts["rule"] == "simclr ranks first by linear top-1, at the layer pooled."
    assert set(tables) == {"samples", "simclr"}
    assert facts["samples"] == 90
    assert facts["neighbours"] == 4
    assert facts["per_run"]["simclr"]["clusters"] == len(facts["per_run"]["simclr"]["tightness"]) == 3


def test_the_table_of_samples_says_what_is_known_of_each(winner):
    _, facts, tables = winner
    samples = tables["samples"]
    assert samples["split"] == ["train"] * 60 + ["test"] * 30
    assert samples["row"] == [*range(60), *range(30)]
    assert samples["file"][59:61] == ["train/59.jpg", "test/0.jpg"]
    assert samples["label"][:3] == ["ant", "bee", "cat"]
    assert samples["label"][6:8] == ["ant", "ant"]  # 7 % 3 - 1
    assert samples["colour"][:2] == ["red", "blue"]
    assert samples["size"][60:62] == pytest.approx([0.0, 0.1])
    assert samples["turn"][:3] == pytest.approx([300, 304, 308], abs=1e-3)
    assert "group" not in samples
    assert facts["angles"] == ["turn"]


def test_the_table_of_a_run_has_a_row_for_each_sample(winner):
    project, _, tables = winner
    table = tables["simclr"]
    assert list(table) == [
        *("x", "y", "cluster", "distance", "neighbours", "neighbour_distances", "duplicate", "outlier"),
    ]  # fmt: skip
    assert {len(column) for column in table.values()} == {90}
    features = np.concatenate([np.load(project.places.features("simclr") / f"{s}.pooled.npy") for s in COUNTS])
    unit = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    np.fill_diagonal(distance, np.inf)
    assert table["neighbours"] == np.argsort(distance, axis=1)[:, :4].tolist()
    np.testing.assert_allclose(table["neighbour_distances"], np.sort(distance, axis=1)[:, :4], atol=1e-5)
    assert set(table["duplicate"]) == {-1}


def test_thumbnails_lie_on_sheets_in_the_order_of_the_samples(winner):
    project, facts, _ = winner
    own = facts["thumbnails"]
    assert (own["count"], own["side"], own["width"], own["height"]) == (90, 32, 32, 32)
    sheet = np.asarray(Image.open(project.places.maps / own["sheets"][0]).convert("RGB")).astype(int)
    number = 60 + 4  # the fifth of the test split
    top, left = 32 * (number // own["columns"]), 32 * (number % own["columns"])
    expected = Stored(project.places.dataset).array("test", "images")[4].transpose(1, 2, 0).astype(int)
    assert np.abs(sheet[top : top + 32, left : left + 32] - expected).mean() < 12


def test_the_same_inputs_leave_the_same_bytes(winner, tmp_path):
    first, again = winner[0].places.maps, make(tmp_path)
    run(again)
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in again.places.maps.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (again.places.maps / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["sound", "tokens", "vectors", "no such part"])
def test_other_kinds_of_samples_have_maps_too(tmp_path, kind):
    facts, tables = run(make(tmp_path, kind))
    assert len(tables["simclr"]["x"]) == 90
    if kind == "no such part":
        assert facts["thumbnails"] is None
    else:
        assert facts["thumbnails"]["count"] == 90


def test_a_map_of_some_samples_has_the_same_share_of_each_split(tmp_path):
    project = make(tmp_path, samples=30)
    facts, tables = run(project)
    samples = tables["samples"]
    assert facts["samples"] == 30
    assert samples["split"].count("test") == 10
    assert samples["row"][:20] == sorted(set(samples["row"][:20]))
    assert max(max(row) for row in tables["simclr"]["neighbours"]) < 30


def test_the_draw_depends_on_the_seed_alone():
    counts = {"train": 150_000, "test": 50_000}
    first, again, other = (maps.draw(counts, 20_000, seed) for seed in (0, 0, 1))
    assert [len(first[split]) for split in counts] == [15_000, 5_000]
    assert all((first[split] == again[split]).all() for split in counts)
    assert not (first["test"] == other["test"]).all()
    assert maps.draw({"train": 30, "test": 0}, 20, 0)["test"].size == 0
    assert maps.draw({"train": 100_000, "test": 1}, 20, 0)["test"].tolist() == [0]


def copies(picture: Image.Image) -> dict[str, Image.Image]:
    content = BytesIO()
    picture.save(content, "JPEG", quality=60)
    return {
        "compressed": Image.open(content).convert("RGB"),
        "brighter": ImageEnhance.Brightness(picture).enhance(1.15),
        "cropped": picture.crop((1, 1, 32, 32)).resize((32, 32), Image.Resampling.BICUBIC),
    }


def test_planted_copies_are_near_duplicates_and_others_are_not(tmp_path):
    project = make(tmp_path)
    train = images(5000, 60)
    for place, copy in enumerate(copies(photograph(5000 + 10)).values()):
        train[20 + place] = np.asarray(copy).transpose(2, 0, 1)
    np.save(project.places.dataset / "train.images.npy", train)
    generator = np.random.default_rng(0)
    values = {split: generator.normal(size=(count, 32)) for split, count in COUNTS.items()}
    values["train"][20:23] = values["train"][10] + 0.05 * generator.normal(size=(3, 32))
    values["train"][41] = values["train"][40]  # the same to the encoder alone: two pictures that do not look alike
    write_features(project, "simclr", 0, values)
    _, tables = run(project)
    duplicate = np.array(tables["simclr"]["duplicate"])
    assert np.flatnonzero(duplicate == 0).tolist() == [10, 20, 21, 22]
    assert duplicate.max() == 0


def test_fewer_than_twenty_samples_have_no_map_and_the_report_goes_on(tmp_path):
    project = make(tmp_path)
    path = project.places.dataset / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"train": 12, "test": 7}))
    with pytest.raises(NotApplicable, match="takes 20 samples, and 'mine' has 19") as refused:
        run(project)
    made = drawn("atlas", "atlas")
    _mark(project, type(made)(**{**vars(made), "outputs": ("maps/mine",)}), str(refused.value))
    for kind in ("report", "transfer"):
        reader = drawn(kind, kind)  # type: ignore[arg-type]
        reader = type(reader)(**{**vars(reader), "paths": ("maps/mine",)})
        if kind == "report":
            _refuse_unfit(project, reader)
        else:
            with pytest.raises(NotApplicable, match="takes 20 samples"):
                _refuse_unfit(project, reader)


def test_a_folder_of_plots_stays_empty_where_there_is_nothing_to_plot(tmp_path):
    """`dvc plots show` takes every file in it for a table."""
    project = make(tmp_path)
    made = drawn("pretrain@mine", "pretrain")
    outputs = ("runs/mine/mine/encoder", "runs/mine/mine/curves", "metrics/mine/mine/training.csv")
    _mark(project, type(made)(**{**vars(made), "outputs": outputs}), "no labels")
    assert [path.name for path in (project.root / outputs[0]).iterdir()] == ["NOT_APPLICABLE"]
    assert list((project.root / outputs[1]).iterdir()) == []
    assert (project.root / outputs[2]).read_text() == ""
