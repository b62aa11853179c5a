"""CIFAR-10 from each of its places: tiny stand-ins for all, and the real archive where $COVEY_DATA has it."""

import io
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_models.datasets import cifar10

torch.set_num_threads(1)
REAL = os.environ.get("COVEY_DATA", "")


def png(red, size=32):
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (red, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def write_archive(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def members():
    """Out of order, with things that are no images of the data set."""
    return {
        "cifar10/train/dog/b.png": png(3),
        "cifar10/train/cat/a.png": png(1),
        "cifar10/train/dog/a.png": png(2),
        "cifar10/test/cat/a.png": png(4),
        "cifar10/README.md": b"text",
        "cifar10/train/cat/.hidden.png": b"",
        "cifar10/other/cat/a.png": png(9),
    }


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    return tmp_path


def offline(_root):
    raise OSError("no route to host")


def test_the_archive_is_read_without_unpacking(data_folder, members):
    write_archive(data_folder / "cifar10.tar.gz", members)
    data = cifar10.load(seed=0, source="ssl_models/datasets/cifar10.py")
    assert data.classes == ("cat", "dog")
    assert data.train.images.shape == (3, 3, 32, 32)
    assert data.train.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1, 1], [0])
    assert cifar10.count() == (3, 1)
    assert [path.name for path in data_folder.iterdir()] == ["cifar10.tar.gz"]


def test_another_size_is_scaled_to(data_folder, members):
    write_archive(data_folder / "cifar10.tar.gz", members)
    assert cifar10.load(seed=0, size=16).train.images.shape == (3, 3, 16, 16)
    with pytest.raises(ValueError, match="size = 0"):
        cifar10.load(seed=0, size=0)


def test_a_folder_is_taken_before_the_archive_and_a_given_one_before_both(data_folder, members, tmp_path):
    write_archive(data_folder / "cifar10.tar.gz", members)
    for place, red in ((data_folder / "cifar10", 50), (tmp_path / "given", 60)):
        for split in ("train", "test"):
            (place / split / "cat").mkdir(parents=True)
            (place / split / "cat" / "a.png").write_bytes(png(red))
    assert cifar10.load(seed=0).train.images[0, 0, 0, 0] == 50
    assert cifar10.load(seed=0, source=str(tmp_path / "given")).train.images[0, 0, 0, 0] == 60
    assert cifar10.count(source=str(tmp_path / "given")) == (1, 1)


def test_unreadable_members_are_named(data_folder, members):
    write_archive(data_folder / "cifar10.tar.gz", {**members, "cifar10/train/dog/c.png": b"no image"})
    data = cifar10.load(seed=0)
    assert data.skipped == ("train/dog/c.png: no format of pictures that is known",)
    assert len(data.train) == 3


def test_a_broken_or_foreign_archive_is_refused(data_folder, members):
    path = data_folder / "cifar10.tar.gz"
    write_archive(path, {"cifar10/data_batch_1": b"0" * 100})
    with pytest.raises(ValueError, match=r"must hold train/CLASS/\*\.png"):
        cifar10.load(seed=0)
    write_archive(path, {**members, "cifar10/train/dog/noise.png": os.urandom(20_000)})
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ValueError, match=r"cifar10\.tar\.gz' cannot be read to its end"):
        cifar10.load(seed=0)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="fetch it again"):
        cifar10.load(seed=0)


def test_a_download_is_the_last_resort(data_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("COVEY_DOWNLOADS", str(tmp_path / "downloads"))
    asked = []

    def sets(root):
        asked.append(root)
        part = SimpleNamespace(data=np.full((2, 32, 32, 3), 7, np.uint8), targets=[1, 0], classes=["cat", "dog"])
        return part, part

    monkeypatch.setattr(cifar10, "_torchvision_sets", sets)
    data = cifar10.load(seed=0, size=24)
    assert asked == [tmp_path / "downloads"]
    assert data.train.images.shape == (2, 3, 24, 24)
    assert (data.train.labels.tolist(), data.classes) == ([1, 0], ("cat", "dog"))
    assert cifar10.count() == (50_000, 10_000)
    assert list(data_folder.iterdir()) == []


def test_without_any_the_three_places_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(cifar10, "_torchvision_sets", offline)
    monkeypatch.setenv("COVEY_DOWNLOADS", str(tmp_path))
    monkeypatch.delenv("COVEY_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"`source`.*cifar10\.tar\.gz in \$COVEY_DATA \(not set\).*no route"):
        cifar10.load(seed=0, source="ssl_models/datasets/cifar10.py")


@pytest.mark.skipif(
    not (Path(REAL) / "cifar10.tar.gz").is_file() or not REAL, reason="$COVEY_DATA has no cifar10.tar.gz"
)
def test_the_real_archive():
    data = cifar10.load(seed=0)
    assert data.classes[0] == "airplane"
    assert len(data.classes) == 10
    assert (len(data.train), len(data.test)) == cifar10.count()
    assert data.train.labels.bincount().min() == data.train.labels.bincount().max()
    assert data.skipped == ()
    # The means of the whole training set are .4914, .4822, .4465.
    assert torch.allclose(data.train.images.float().mean((0, 2, 3)) / 255, torch.tensor([0.49, 0.48, 0.45]), atol=0.02)
