import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from ssl_models.datasets import mpii

torch.set_num_threads(1)
PICTURES = 6


def struct(rows):
    """A list of dicts as a MATLAB struct array (1, N)."""
    table = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for number, row in enumerate(rows):
        table[0, number] = tuple(row.values())
    return table


def rectangle(offset=0.0):
    draws = np.random.default_rng(0)
    places = draws.uniform(10, 60, (16, 2)) + offset
    points = [
        {"x": x, "y": y, "id": number, "is_visible": ["", "0", "1", 1][number % 4]}
        for number, (x, y) in enumerate(places.tolist())
        if number != 6
    ]
    head = {"x1": 10.0, "y1": 10.0, "x2": 40.0, "y2": 50.0}
    place = struct([{"x": 35.0, "y": 35.0}])
    return head | {"annopoints": struct([{"point": struct(points)}]), "scale": 1.5, "objpos": place}


def release(**changes):
    """Six pictures of two people; the second stands apart in the odd ones; the last one is of the test set."""
    pictures = [
        {"image": struct([{"name": f"{row}.jpg"}]), "annorect": struct([rectangle(), rectangle(5)]), "vididx": row // 2}
        for row in range(PICTURES)
    ]
    apart = np.empty((PICTURES, 1), object)
    for row in range(PICTURES):
        apart[row, 0] = np.array([[1], [2]]) if row % 2 else np.array([[1]])
    fields = {"annolist": struct(pictures), "img_train": np.array([[1] * (PICTURES - 1) + [0]]), "single_person": apart}
    return {name: value for name, value in (fields | changes).items() if value is not None}


def write(folder, content):
    (folder / "images").mkdir(exist_ok=True)
    for row in range(PICTURES):
        Image.new("RGB", (90, 80), (40 * (row // 2), 0, 0)).save(folder / "images" / f"{row}.jpg")
    savemat(folder / mpii.FILE, {"RELEASE": struct([content])})
    return str(folder)


def test_the_published_layout_is_read(tmp_path):
    source = write(tmp_path, release())
    data = mpii.load(seed=0, source=source, size=48, test_fraction=0.3)
    assert mpii.count(source=source, size=48, test_fraction=0.3) == (len(data.train), len(data.test))
    assert len(data.train) + len(data.test) == 7  # 1 + 2 + 1 + 2 + 1 that stand apart in the five training pictures
    points, extent = data.train.truth["points"], data.train.truth["extent"]
    assert points.shape[1:] == (16, 3)
    assert points[0, :, 2].tolist() == [1.0] * 6 + [0.0] + [1.0] * 9  # hidden ones are scored, absent ones are not
    places = np.delete(np.random.default_rng(0).uniform(10, 60, (16, 2)), 6, 0)
    side = 1.3 * np.ptp(places, axis=0).max()
    assert extent.tolist() == pytest.approx([0.6 * 50 * 48 / side] * len(extent), rel=1e-5)
    middle = (places.min(0) + places.max(0)) / 2
    expected = (places - middle) * (48 / side) + 24
    assert np.allclose(np.delete(points[0].numpy(), 6, 0)[:, :2], expected, atol=1e-3)


def test_no_video_is_in_both_splits(tmp_path):
    source = write(tmp_path, release())
    for seed in range(4):
        data = mpii.load(seed=seed, source=source, size=16, test_fraction=0.4)
        train, test = (
            {round(red / 40) for red in split.images[:, 0].amax((1, 2)).tolist()} for split in (data.train, data.test)
        )
        assert not train & test
        assert train | test == {0, 1, 2}
    assert mpii.count(source=source, test_fraction=0.01)[1] > 0


def test_a_missing_picture_is_skipped(tmp_path):
    source = write(tmp_path, release())
    (tmp_path / "images" / "0.jpg").unlink()
    data = mpii.load(seed=0, source=source, size=16)
    assert len(data.skipped) == 1
    assert "RELEASE.annolist(1).annorect(1): the picture" in data.skipped[0]


@pytest.mark.parametrize("field", ["annolist", "img_train", "single_person"])
def test_a_missing_field_is_named(tmp_path, field):
    with pytest.raises(ValueError, match=rf"{mpii.FILE}' lacks the entry 'RELEASE.{field}'"):
        mpii.load(seed=0, source=write(tmp_path, release(**{field: None})))


def test_other_layouts_and_settings_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("COVEY_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="MPII"):
        mpii.load(seed=0, source=str(tmp_path))
    with pytest.raises(ValueError, match="not of one length"):
        mpii.load(seed=0, source=write(tmp_path, release(img_train=np.array([[1, 1]]))))
    for fraction in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"test_fraction = .* must lie between 0 and 1"):
            mpii.load(seed=0, test_fraction=fraction)
    savemat(tmp_path / mpii.FILE, {"other": 1})
    with pytest.raises(ValueError, match="lacks the entry 'RELEASE'; it holds other"):
        mpii.count(source=str(tmp_path))
