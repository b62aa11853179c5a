"""ImageNet's layout, made small: validation pictures in folders, by Kaggle's table, or by the devkit."""

import io
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from ssl_models.datasets import imagenet
from tests.ssl_models.test_cifar10 import png

CLASSES = ("n01440764", "n01443537")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    for number, name in enumerate(CLASSES):
        put(tmp_path / "imagenet" / "train" / name / f"{name}_1.JPEG", number + 1)
    return tmp_path / "imagenet"


def put(path, red):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(red))


def put_flat(val):
    for number in (1, 2, 3):
        put(val / f"ILSVRC2012_val_{number:08}.JPEG", number)


def devkit():
    """The validation pictures 1 to 3 are of the classes 2, 1, 2."""
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    synsets = np.array([(1, CLASSES[0], "tench"), (2, CLASSES[1], "goldfish")], dtype=kind).reshape(-1, 1)
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    return {"data/meta.mat": meta.getvalue(), "data/ILSVRC2012_validation_ground_truth.txt": b"2\n1\n2\n"}


def reds(split):
    return split.images[:, 0, 0, 0].tolist()


def test_validation_pictures_in_folders_of_classes(root):
    put(root / "val" / CLASSES[1] / "a.JPEG", 5)
    data = imagenet.load(seed=0, size=8)
    assert data.classes == CLASSES
    assert (reds(data.train), data.train.labels.tolist()) == ([1, 2], [0, 1])
    assert (reds(data.test), data.test.labels.tolist()) == ([5], [1])
    assert data.test.origin.files == (f"val/{CLASSES[1]}/a.JPEG",)
    assert imagenet.count() == (2, 1)


def kaggle(root):
    lines = [f"ILSVRC2012_val_{n:08},{CLASSES[n % 2]} 85 1 499 272 {CLASSES[0]} 1 2 3 4" for n in (1, 2, 3)]
    (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]))


def folder(root):
    for name, content in devkit().items():
        path = root / "ILSVRC2012_devkit_t12" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def packed(root):
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        for name, content in devkit().items():
            member = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("write", [kaggle, folder, packed])
def test_validation_pictures_beside_each_other(root, write):
    put_flat(root / "val")
    write(root)
    data = imagenet.load(seed=0, size=8)
    assert data.test.labels.tolist() == [0, 1, 1]
    assert reds(data.test) == [2, 1, 3]
    found = dict(imagenet.files())
    assert found.pop("source") == root
    pictures = [*data.train.origin.files, *(f"val/ILSVRC2012_val_{number:08}.JPEG" for number in (1, 2, 3))]
    assert list(found)[:5] == pictures
    kinds = {kaggle: "LOC_val_solution.csv", folder: "ILSVRC2012_devkit_t12/data/meta.mat"}
    assert list(found)[5] == kinds.get(write, "ILSVRC2012_devkit_t12.tar.gz")
    assert all(path.is_file() for path in found.values())


def test_kaggle_s_layout(root, tmp_path):
    inside = tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC"
    inside.mkdir(parents=True)
    (root / "train").rename(inside / "train")
    put_flat(inside / "val")
    kaggle(tmp_path / "kaggle")
    assert imagenet.count(source=str(tmp_path / "kaggle")) == (2, 3)


def no_val(_root):
    pass


def untold(root):
    put_flat(root / "val")


def loose(root):
    put(root / "train" / "a.JPEG", 1)
    put(root / "val" / CLASSES[0] / "a.JPEG", 1)


def few(root):
    put_flat(root / "val")
    (root / "LOC_val_solution.csv").write_text(
        f"ImageId,PredictionString\nILSVRC2012_val_00000001,{CLASSES[0]} 1 2 3 4\n"
    )


def other_table(root):
    put_flat(root / "val")
    (root / "LOC_val_solution.csv").write_text("a,b\n1,2\n")


def broken_devkit(root):
    put_flat(root / "val")
    folder(root)
    (root / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").write_bytes(b"no such file")


def half_a_devkit(root):
    put_flat(root / "val")
    folder(root)
    (root / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").unlink()


def foreign_class(root):
    put(root / "val" / "n09999999" / "a.JPEG", 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_val, r"imagenet' must hold the folders train/ and val/, or ILSVRC/Data/CLS-LOC/ with these"),
        (untold, r"val' has images beside each other, .* put one of these into '.*imagenet': LOC_val_solution\.csv"),
        (loose, r"train' has images in no folder of a class, such as a\.JPEG"),
        (few, r"LOC_val_solution\.csv' tells no class of 2 images of '.*val', as of ILSVRC2012_val_00000002"),
        (other_table, r"LOC_val_solution\.csv' must have the columns ImageId and PredictionString; fetch it again"),
        (broken_devkit, r"ILSVRC2012_devkit_t12' is not the devkit as published"),
        (half_a_devkit, r"ILSVRC2012_devkit_t12' has no data/meta\.mat; fetch it again"),
        (
            foreign_class,
            r"the test split of '.*imagenet' has the class 'n09999999', of which the training split has no",
        ),
    ],
)
def test_another_layout_is_refused_by_name(root, change, message):
    change(root)
    with pytest.raises(ValueError, match=message):
        imagenet.count()
