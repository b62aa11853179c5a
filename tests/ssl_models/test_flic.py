import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from ssl_models.datasets import flic

torch.set_num_threads(1)


def examples(people=4):
    """A struct array (1, N) as MATLAB writes it: the first half trains, the second tests."""
    draws = np.random.default_rng(0)
    fields = ["filepath", "coords", "istrain", "istest", "torsobox", "imgdims"]
    table = np.empty((1, people), dtype=[(field, object) for field in fields])
    for row in range(people):
        coords = np.full((2, 29), np.nan)
        coords[:, list(flic.COLUMNS.values())] = draws.uniform(10, 60, (2, 11))
        coords[:, 0], coords[:, 9] = (20.5, 10.5), (50.5, 50.5)
        table[0, row] = f"film-{row}.jpg", coords, row < people / 2, row >= people / 2, np.zeros(4), (80, 90, 3)
    return table


def write(folder, table):
    (folder / "images").mkdir()
    for row in range(table.shape[1]):
        Image.new("RGB", (90, 80), (20 * row, 0, 0)).save(folder / "images" / f"film-{row}.jpg")
    savemat(folder / "examples.mat", {"examples": table})
    return str(folder)


def test_the_published_layout_is_read(tmp_path):
    source = write(tmp_path, examples())
    data = flic.load(seed=0, source=source, size=48)
    assert flic.count(source=source) == (len(data.train), len(data.test)) == (2, 2)
    points, extent = data.test.truth["points"], data.test.truth["extent"]
    assert points.shape == (2, 11, 3)
    assert points[..., 2].min() == 1
    shoulder, hip = (points[:, flic.JOINTS.index(name), :2] for name in ("left shoulder", "right hip"))
    assert torch.allclose((shoulder - hip).norm(dim=1), extent, rtol=1e-5)
    assert torch.allclose((hip - shoulder)[:, 1] / (hip - shoulder)[:, 0], torch.tensor(4 / 3), rtol=1e-4)
    assert data.points == flic.JOINTS


def test_empty_joints_and_missing_pictures(tmp_path):
    table = examples()
    table[0, 0]["coords"][:, 16] = np.nan  # nose
    table[0, 1]["coords"][0, 12] = 95  # left eye
    table[0, 3]["filepath"] = "film-9.jpg"
    data = flic.load(seed=0, source=write(tmp_path, table), size=48)
    assert data.train.truth["points"][0, :, 2].tolist() == [1] * 10 + [0]
    assert data.train.truth["points"][1, 8, 2] == 0
    assert len(data.test) == 1
    assert "examples(2): the joint 'left eye' lies outside the picture" in data.skipped[0]
    assert "examples(4): the picture" in data.skipped[1]


@pytest.mark.parametrize("field", ["filepath", "coords", "istrain", "istest"])
def test_a_missing_field_is_named(tmp_path, field):
    table = examples()
    kept = [name for name in table.dtype.names if name != field]
    with pytest.raises(ValueError, match=rf"examples.mat' lacks the entry 'examples\(\d\).{field}'"):
        flic.load(seed=0, source=write(tmp_path, table[kept].astype([(name, object) for name in kept])))


def test_other_layouts_are_refused(tmp_path):
    table = examples()
    table[0, 0]["coords"] = np.zeros((2, 10))
    with pytest.raises(ValueError, match=r"examples\(1\).coords' is of shape \(2, 10\), not \(2, 29\)"):
        flic.load(seed=0, source=write(tmp_path, table))
    savemat(tmp_path / "examples.mat", {"other": 1})
    with pytest.raises(ValueError, match="lacks the entry 'examples'; it holds other"):
        flic.load(seed=0, source=str(tmp_path))
    savemat(tmp_path / "examples.mat", {"examples": examples()[:, :2]})
    with pytest.raises(ValueError, match="both are needed"):
        flic.count(source=str(tmp_path))


def test_nothing_to_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"FLIC .* was not found"):
        flic.load(seed=0)
