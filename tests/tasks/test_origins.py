"""Where samples come from, and pictures that are stored larger than they are used, through an artifact's files."""

import numpy as np
import pytest
import torch
from pyarrow import parquet

from ssl_models.datasets._common.split import Dataset, LeftOut, Origin, Split
from ssl_models.rows import middle
from tasks.artifacts.clusters import Clusters
from tasks.artifacts.dataset import Stored
from tasks.artifacts.pictures import cluster_rows, names_of


def split(count, first):
    sizes = torch.tensor([[640 + row, 480] for row in range(count)], dtype=torch.int32)
    files = tuple(f"trip/{first + row}.jpg" for row in range(count))
    images = torch.arange(count * 3 * 6 * 6).reshape(count, 3, 6, 6).to(torch.uint8)
    return Split({"images": images}, origin=Origin(files, sizes, tuple("ab"[row % 2] for row in range(count))))


@pytest.fixture
def stored(tmp_path):
    left_out = (LeftOut(".mov", "no picture", 2, "clip.mov"),)
    found = Stored(tmp_path / "photos")
    found.write(Dataset(split(4, 0), split(2, 4), left_out=left_out, size=4))
    return found


def test_origins_come_back_as_they_were_written(stored):
    origin = stored.origin("test")
    assert origin == {
        "file": ["trip/4.jpg", "trip/5.jpg"],
        "width": [640, 641],
        "height": [480, 480],
        "group": ["a", "b"],
    }
    assert stored.description["left_out"] == [
        {"suffix": ".mov", "reason": "no picture", "count": 2, "example": "clip.mov", "kind": "unreadable"}
    ]


def test_of_pictures_stored_larger_the_middle_is_used(stored):
    whole, used = stored.whole("train")["images"], stored.samples("train")["images"]
    assert stored.shapes == {"images": (3, 4, 4)}
    assert whole.shape == (4, 3, 6, 6)
    assert (np.asarray(used) == np.asarray(whole)[:, :, 1:5, 1:5]).all()
    odd = np.arange(25).reshape(1, 1, 5, 5)
    assert middle(odd, (1, 2, 2)).tolist() == [[[[6, 7], [11, 12]]]]
    assert middle(odd, (1, 5, 5)) is odd


def test_outputs_whose_rows_are_those_of_the_data_set_are_handed_its_names(stored, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    stored.hand_on(folder)
    assert parquet.read_table(folder / "train.origin.parquet").to_pydict()["file"][3] == "trip/3.jpg"
    assert sorted(path.name for path in folder.iterdir()) == ["test.origin.parquet", "train.origin.parquet"]


def test_members_of_clusters_are_named(stored, tmp_path):
    origin = stored.origin("train")
    clusters, distances = np.array([1, 0, 1, 1]), np.array([0.5, 0.1, 0.25, 0.75], np.float32)
    Clusters(tmp_path / "clusters").write_members(origin, clusters, distances)
    table = parquet.read_table(tmp_path / "clusters" / "members.parquet").to_pydict()
    assert {name: table[name] for name in origin} == origin
    assert table["cluster"] == [1, 0, 1, 1]
    assert table["distance"] == [0.5, 0.10000000149011612, 0.25, 0.75]
    rows = cluster_rows(clusters, distances, columns=2)
    assert [row.tolist() for row in rows] == [[2, 0], [1]]
    assert names_of(origin["file"], rows) == {"files": [["trip/2.jpg", "trip/0.jpg"], ["trip/1.jpg"]]}
    assert names_of((), rows) == {}
