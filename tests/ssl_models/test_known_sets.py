"""CIFAR-100, STL-10 and VOC 2007 in torchvision's own files, made small; no network is asked."""

import pickle
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch

from ssl_models.datasets import cifar100, stl10, voc07
from tests.ssl_models.test_cifar10 import png, write_archive

NAMES = ["apple", "bear", "cup"]


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Nothing in $COVEY_DATA and downloads, and no network."""
    monkeypatch.setenv("COVEY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COVEY_DOWNLOADS", str(tmp_path / "downloads"))
    (tmp_path / "data").mkdir()

    def no_network(*_args, **_settings):
        raise OSError("no route to host")

    for module in ("cifar", "stl10", "voc"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", no_network)


def write_cifar100(folder, monkeypatch):
    """Pictures of one colour each, whose red is their number; rows of a file hold red, green, blue."""
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, _md5=None: (folder / path).is_file())
    folder.mkdir(parents=True)
    for name, labels in (("train", [2, 0, 1]), ("test", [1, 1])):
        data = np.zeros((len(labels), 3072), np.uint8)
        data[:, :1024] = np.arange(len(labels))[:, None] + 10
        (folder / name).write_bytes(pickle.dumps({"data": data, "fine_labels": labels}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": NAMES}))


@pytest.mark.parametrize("where", ["data/cifar100", "downloads", "own"])
def test_cifar100_is_read_of_torchvision_s_files(tmp_path, monkeypatch, where):
    write_cifar100(tmp_path / where / "cifar-100-python", monkeypatch)
    data = cifar100.load(seed=0, source=str(tmp_path / "own"))
    assert data.classes == tuple(NAMES)
    assert data.train.labels.tolist() == [2, 0, 1]
    assert data.train.images[:, 0].flatten(1).float().mean(1).tolist() == [10, 11, 12]
    assert not data.train.images[:, 1:].any()
    assert data.test.origin.files == ("test/000000", "test/000001")
    assert cifar100.load(seed=0, source=str(tmp_path / "own"), size=16).train.images.shape == (3, 3, 16, 16)


def test_cifar100_is_read_of_an_archive_of_pictures(tmp_path):
    write_archive(
        tmp_path / "data" / "cifar100.tar.gz", {f"{s}/{c}/1.png": png(7) for s in ("train", "test") for c in "ab"}
    )
    assert cifar100.load(seed=0).classes == ("a", "b")
    assert cifar100.count() == (2, 2)


def test_changed_files_of_cifar100_are_refused(tmp_path):
    folder = tmp_path / "data" / "cifar100" / "cifar-100-python"
    folder.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"cifar-100-python' is not as CIFAR-100 was published .*; fetch it again"):
        cifar100.load(seed=0)


def write_stl10(folder, unlabeled=3, train=(1, 10), test=(2, 2, 3)):
    """Pictures whose red is their number, whose green is the row and whose blue is the column; on disk by columns."""
    folder.mkdir(parents=True)
    for name, number, labels in (
        ("unlabeled", unlabeled, None),
        ("train", len(train), train),
        ("test", len(test), test),
    ):
        images = np.zeros((number, 3, 96, 96), np.uint8)  # picture, colour, column, row
        images[:, 0] = np.arange(number)[:, None, None]
        images[:, 1], images[:, 2] = np.arange(96)[None, :], np.arange(96)[:, None]
        (folder / f"{name}_X.bin").write_bytes(images.tobytes())
        if labels:
            (folder / f"{name}_y.bin").write_bytes(bytes(labels))


@pytest.mark.parametrize("where", ["data/stl10/stl10_binary", "data/stl10", "own/stl10_binary"])
def test_stl10_has_an_unlabelled_and_a_labelled_part(tmp_path, where):
    write_stl10(tmp_path / where)
    source = str(tmp_path / "own")
    data = stl10.load(seed=0, source=source)
    assert (data.classes, data.train.labels, data.test.labels) == ((), None, None)
    assert data.train.images.shape == (3, 3, 96, 96)
    assert data.train.images[2, :, 5, 7].tolist() == [2, 5, 7]
    labelled = stl10.load(seed=0, source=source, part="labelled", size=48, store=1.5, room=tmp_path / "room")
    assert labelled.classes[0] == "airplane"
    assert (labelled.train.labels.tolist(), labelled.test.labels.tolist()) == ([0, 9], [1, 1, 2])
    assert (labelled.train.images.shape, labelled.size) == ((2, 3, 72, 72), 48)
    assert torch.equal(data.test.images[:, 0, 0, 0], torch.arange(3, dtype=torch.uint8))
    assert [stl10.count(source=source, part=part) for part in stl10.PARTS] == [(3, 3), (2, 3)]


def test_a_download_of_stl10_that_was_broken_off_is_not_taken(tmp_path, monkeypatch):
    write_stl10(tmp_path / "downloads" / "stl10_binary")
    with pytest.raises(FileNotFoundError, match=r"STL-10 was found neither .*stl10/stl10_binary/\*\.bin.*no route"):
        stl10.load(seed=0)
    assert stl10.count() == (100_000, 8_000)
    monkeypatch.setattr(stl10, "COUNTS", {"unlabeled": 3, "train": 2, "test": 3})
    assert len(stl10.load(seed=0).train) == 3


def cut(folder):
    (folder / "train_X.bin").write_bytes(bytes(96 * 96 * 3 + 1))


def without_labels(folder):
    (folder / "test_y.bin").unlink()


def few_labels(folder):
    (folder / "train_y.bin").write_bytes(b"\x01")


def odd_label(folder):
    (folder / "train_y.bin").write_bytes(b"\x01\x00")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            cut,
            ValueError,
            "train_X.bin' has 27,649 bytes, not those of whole pictures of 96 x 96 pixels; fetch it again",
        ),
        (without_labels, FileNotFoundError, "stl10' has train_X.bin, but no test_y.bin"),
        (few_labels, ValueError, "train_y.bin' has 1 labels of 2 pictures; fetch it again"),
        (odd_label, ValueError, "train_y.bin' has the label 0; labels are 1 to 10"),
    ],
)
def test_damaged_files_of_stl10_are_refused(tmp_path, change, kind, message):
    write_stl10(tmp_path / "data" / "stl10")
    change(tmp_path / "data" / "stl10")
    with pytest.raises(kind, match=message):
        stl10.load(seed=0, part="labelled")


def test_an_unknown_part_of_stl10_is_refused():
    for call in (lambda: stl10.load(seed=0, part="all"), lambda: stl10.count(part="all")):
        with pytest.raises(ValueError, match="part = 'all' must be unlabelled or labelled"):
            call()


def write_voc07(folder):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for name, split in (("000001", "test"), ("000005", "trainval")):
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>4</ymax>"
        size = "<size><width>16</width><height>16</height><depth>3</depth></size>"
        text = f"<annotation>{size}<object><name>dog</name><bndbox>{box}</bndbox></object></annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(text)
        (folder / "JPEGImages" / f"{name}.jpg").write_bytes(png(9, 16))
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{name}\n")


@pytest.mark.parametrize("where", ["data/voc07/VOCdevkit/VOC2007", "data/voc07", "own", "downloads/VOCdevkit/VOC2007"])
def test_voc07_has_its_boxes_and_its_own_splits(tmp_path, monkeypatch, where):
    write_voc07(tmp_path / where)
    if where.startswith("downloads"):
        with pytest.raises(FileNotFoundError, match=r"VOC 2007 was found neither .*VOCdevkit/VOC2007.*no route"):
            voc07.load(seed=0)
        assert voc07.count() == (5_011, 4_952)
        monkeypatch.setattr(voc07, "TRAIN", 1)
        monkeypatch.setattr(voc07, "TEST", 1)
    data = voc07.load(seed=0, source=str(tmp_path / "own"), size=32)
    assert data.classes == ("dog",)
    assert data.train.truth["boxes"].tolist() == [[0, 0, 0, 0, 16, 8, 0]]
    assert voc07.count(source=str(tmp_path / "own")) == (1, 1)


@pytest.mark.parametrize("reader", ["cifar100", "stl10", "voc07", "imagenet"])
def test_a_set_that_is_nowhere_says_where_to_put_it(reader):
    module = import_module(f"ssl_models.datasets.{reader}")
    with pytest.raises(
        FileNotFoundError, match=rf"was found neither in `source` \(no folder\), nor as {reader}/.*\$COVEY_DATA"
    ):
        module.load(seed=0, source=module.__file__)


def write_pictures(folder):
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (folder / place).mkdir(parents=True)
        (folder / place / "1.png").write_bytes(png(7))


def named(reader, **settings):
    return {
        name: path and path.name
        for name, path in import_module(f"ssl_models.datasets.{reader}").files(**settings)
        if name != "source"
    }


def test_the_files_of_a_set_are_those_that_it_would_be_read_of_and_none_where_it_would_be_downloaded(
    tmp_path, monkeypatch
):
    data, code = tmp_path / "data", {"source": cifar100.__file__}
    assert {reader: named(reader, **code) for reader in ("cifar10", "cifar100", "stl10", "voc07")} == {
        "cifar10": {},
        "cifar100": {},
        "stl10": {},
        "voc07": {},
    }
    write_archive(data / "cifar10.tar.gz", {"train/a/1.png": png(7)})
    assert named("cifar10", **code) == {"cifar10.tar.gz": "cifar10.tar.gz"}
    write_pictures(data / "cifar10")
    assert list(named("cifar10", **code)) == [f"{split}/{label}/1.png" for split in ("test", "train") for label in "ab"]
    write_cifar100(data / "cifar100" / "cifar-100-python", monkeypatch)
    assert list(named("cifar100", **code)) == [f"cifar-100-python/{name}" for name in ("meta", "test", "train")]
    write_stl10(data / "stl10")
    assert list(named("stl10", **code)) == ["unlabeled_X.bin", "test_X.bin"]
    assert list(named("stl10", part="labelled")) == ["train_X.bin", "test_X.bin", "train_y.bin", "test_y.bin"]
    write_voc07(data / "own" / "VOC2007")
    (data / "own" / "VOC2007" / "notes.txt").touch()
    assert sorted(named("voc07", source=str(data / "own")).values()) == [
        *("000001.jpg", "000001.xml", "000005.jpg", "000005.xml", "test.txt", "trainval.txt")
    ]


def test_the_files_of_a_set_are_told_without_torch():
    readers = ", ".join(("cifar10", "cifar100", "imagenet", "stl10", "voc07"))
    code = f"import sys; from ssl_models.datasets import {readers}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
