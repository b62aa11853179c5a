import io
import tarfile
from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from ssl_models.datasets import leeds

torch.set_num_threads(1)


def joints(people=6):
    """(14, 3, N); the torso is 30 long: left shoulder over right hip."""
    draws = np.random.default_rng(0)
    table = np.ones((14, 3, people))
    table[:, :2] = draws.uniform(10, 70, (14, 2, people))
    table[9, :2], table[2, :2] = np.array([[30], [20]]), np.array([[30], [50]])
    return table


def write(folder, table, digits=4, people=6):
    (folder / "images").mkdir(parents=True)
    for number in range(1, people + 1):
        Image.new("RGB", (80, 80), (20 * number, 0, 0)).save(folder / "images" / f"im{number:0{digits}d}.jpg")
    savemat(folder / "joints.mat", {"joints": table})
    return folder


def test_both_published_layouts_say_the_same(tmp_path):
    extended = leeds.load(seed=0, source=str(write(tmp_path / "a", joints(), digits=5)), size=32)
    hidden = joints()
    hidden[4, 2] = 0  # seen: the 2,000 have 1 where a joint is hidden, and score it too
    original = leeds.load(seed=0, source=str(write(tmp_path / "b", hidden.transpose(1, 0, 2))), size=32)
    assert torch.equal(extended.train.images, original.train.images)
    assert torch.equal(extended.test.truth["points"], original.test.truth["points"])
    assert extended.points == original.points == leeds.JOINTS
    assert len(leeds.JOINTS) == 14


def test_the_first_half_is_for_training(tmp_path):
    folder = write(tmp_path / "a", joints(5), people=5)
    data = leeds.load(seed=0, source=str(folder), size=16)
    assert leeds.count(source=str(folder), size=16) == (len(data.train), len(data.test)) == (2, 3)
    reds = [split.images[:, 0].amax((1, 2)).tolist() for split in (data.train, data.test)]
    assert np.allclose(reds[0] + reds[1], [20, 40, 60, 80, 100], atol=3)


def test_torso_and_visibility(tmp_path):
    table = joints()
    table[13, :, 0] = -20, 0, 0  # not annotated
    table[2, 2, 1] = 0  # right hip not known: right shoulder to left hip counts
    table[[2, 3], 2, 2] = 0  # neither hip is
    data = leeds.load(seed=0, source=str(write(tmp_path / "a", table)), size=64)
    points, extent = data.train.truth["points"], data.train.truth["extent"]
    assert points[0, :, 2].tolist() == [1] * 13 + [0]
    assert extent[0] == pytest.approx(float((points[0, 9, :2] - points[0, 2, :2]).norm()), rel=1e-5)
    assert extent[1] == pytest.approx(float((points[1, 8, :2] - points[1, 3, :2]).norm()), rel=1e-5)
    assert extent[2] == 0


def test_a_missing_picture_is_skipped(tmp_path):
    folder = write(tmp_path / "a", joints())
    (folder / "images" / "im0002.jpg").unlink()
    data = leeds.load(seed=0, source=str(folder), size=16)
    assert len(data.train) == 2
    assert len(data.skipped) == 1
    assert "joints.mat, person 2: the picture" in data.skipped[0]
    assert "im0002.jpg' is missing" in data.skipped[0]


@pytest.mark.parametrize("reader", ["leeds", "flic", "mpii", "nyu", "voc", "cifar10", "fsdd"])
def test_a_reader_s_own_file_as_source_stands_for_the_usual_places(reader, tmp_path, monkeypatch):
    """In params.yaml `source` must be there; of a set that is found by $COVEY_DATA it is the reader itself."""
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    module = import_module(f"ssl_models.datasets.{reader}")
    monkeypatch.setattr("torchvision.datasets.CIFAR10.__init__", nothing_to_fetch)
    with pytest.raises((FileNotFoundError, ValueError, OSError), match=r"found|no pictures"):
        module.load(seed=0, source=module.__file__)


def nothing_to_fetch(*_args, **_settings):
    raise OSError("no network")


def test_an_archive_reads_as_its_folder(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", joints())
    with tarfile.open(tmp_path / "lsp.tar.gz", "w:gz") as archive:
        archive.add(folder, "lsp")
        note = b"x"
        member = tarfile.TarInfo("lsp/README.txt")
        member.size = len(note)
        archive.addfile(member, io.BytesIO(note))
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    data, same = leeds.load(seed=0, size=16), leeds.load(seed=1, source=str(folder), size=16)
    assert torch.equal(data.test.images, same.test.images)
    assert torch.equal(data.test.truth["points"], same.test.truth["points"])
    (tmp_path / "lsp.tar.gz").write_bytes((tmp_path / "lsp.tar.gz").read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"lsp.tar.gz' cannot be read to its end"):
        leeds.load(seed=0, size=16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"points": np.zeros((14, 3, 4))}, r"joints.mat' lacks the entry 'joints'; it holds points"),
        ({"joints": np.zeros((13, 3, 4))}, r"entry 'joints' is of shape \(13, 3, 4\)"),
        ({"joints": np.zeros((14, 3, 1))}, "holds 1 people"),
    ],
)
def test_another_layout_is_refused(tmp_path, content, message):
    (tmp_path / "images").mkdir()
    savemat(tmp_path / "joints.mat", content)
    with pytest.raises(ValueError, match=message):
        leeds.load(seed=0, source=str(tmp_path))


def test_nothing_to_read_and_no_size_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("COVEY_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="was not found at"):
        leeds.load(seed=0, source=str(tmp_path))
    with pytest.raises(ValueError, match="size = 0 must be at least 1"):
        leeds.count(size=0)
