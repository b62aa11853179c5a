"""PASCAL VOC's layout from each of its places, with all that annotations have in the wild."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_models.datasets import voc

torch.set_num_threads(1)
REAL = os.environ.get("COVEY_DATA", "")


def picture(width=40, height=20, red=200):
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (red, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def thing(name="cat", box=(1, 1, 10, 10), more=""):
    sides = "".join(f"<{side}>{x}</{side}>" for side, x in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def annotation(*objects):
    return f"<annotation><filename>wrong.jpg</filename>{''.join(objects)}</annotation>".encode()


def layout(names, root="", **splits):
    """One picture and annotation a name, each with a cat, and the lists."""
    files = {f"{root}ImageSets/Main/{split}.txt": "\n".join(listed).encode() for split, listed in splits.items()}
    for name in names:
        files |= {f"{root}JPEGImages/{name}.png": picture(), f"{root}Annotations/{name}.xml": annotation(thing())}
    return files


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def files():
    return layout(["a", "b"], train=["a"], test=["b"])


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("COVEY_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def boxes_of(tmp_path, files, *objects, **settings):
    """The training boxes where picture a has these objects."""
    data = voc.load(
        seed=0, source=write(tmp_path / "voc", {**files, "Annotations/a.xml": annotation(*objects)}), **settings
    )
    return data.train.truth["boxes"], data


def test_boxes_move_with_the_letterboxed_picture(tmp_path, files):
    boxes, data = boxes_of(tmp_path, files, thing(box=(1, 1, 40, 20)), thing(box=(11, 6, 20, 10)), size=80)
    # 40 x 20 becomes 80 x 40 with 20 of grey above and below; pixels 11 .. 20 are [10, 20).
    assert boxes[:, 2:6].tolist() == [[0, 20, 80, 60], [20, 30, 40, 40]]
    image = data.train.images[0]
    assert image.shape == (3, 80, 80)
    assert (image[:, :20] == 128).all()
    assert (image[:, 60:] == 128).all()
    assert (image[0, 20:60] == 200).all()


def test_a_box_stays_around_the_pixels_that_it_was_around(tmp_path, files):
    shown = np.zeros((30, 60, 3), np.uint8)
    shown[9:15, 30:48] = 255  # VOC's 31 .. 48 and 10 .. 15
    stream = io.BytesIO()
    Image.fromarray(shown).save(stream, "PNG")
    data = voc.load(
        seed=0,
        size=40,
        source=write(
            tmp_path / "voc",
            {
                **files,
                "JPEGImages/a.png": stream.getvalue(),
                "Annotations/a.xml": annotation(thing(box=(31, 10, 48, 15))),
            },
        ),
    )
    left, top, right, bottom = data.train.truth["boxes"][0, 2:6].tolist()
    assert (left, top, right, bottom) == pytest.approx((20, 16, 32, 20))
    bright = data.train.images[0, 0] > 128
    bright[:10] = bright[30:] = False
    rows, columns = bright.nonzero(as_tuple=True)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (20, 16, 32, 20)


def test_boxes_as_they_are_in_the_wild(tmp_path, files):
    boxes, data = boxes_of(
        tmp_path,
        files,
        thing(box=(" 3.5 ", "2.25", "10.5", "8")),
        thing(box=(10, 8, 3, 2)),
        thing(box=(-5, 0, 300, 12)),
        thing(box=(5, 5, 5, 9)),
        thing(box=(41, 1, 60, 9)),
        thing(box=(1, "", 4, 4)),
        thing(box=(1, "nan", 4, 4)),
        thing(name=" "),
        "<object><name>cat</name></object>",
        thing(name=" red\n cat ", box=(1, 1, 1.5, 20)),
        size=40,
    )
    assert boxes[:, 2:6].tolist() == [[2.5, 11.25, 10.5, 18], [2, 11, 10, 18], [0, 10, 40, 22], [0, 10, 1.5, 30]]
    assert data.classes == ("cat", "red cat")
    assert boxes[:, 1].tolist() == [0, 0, 0, 1]
    assert data.skipped == (
        "Annotations/a.xml, object 4 ('cat'): the box has no area: xmin and xmax are 5",
        "Annotations/a.xml, object 5 ('cat'): the box lies outside the picture of 40 x 20 pixels: x from 41 to 60",
        "Annotations/a.xml, object 6 ('cat'): ymin = '' is not a number",
        "Annotations/a.xml, object 7 ('cat'): ymin = 'nan' is not a number",
        "Annotations/a.xml, object 8 (''): it has no name",
        "Annotations/a.xml, object 9 ('cat'): xmin = '' is not a number",
    )


def test_the_boxes_of_parts_are_not_taken_for_the_objects(tmp_path, files):
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    boxes, data = boxes_of(tmp_path, files, thing(box=(3, 3, 9, 9), more=part), size=40)
    assert data.classes == ("cat",)
    assert boxes[:, 2:6].tolist() == [[2, 12, 9, 19]]


def test_a_class_with_difficult_boxes_only_does_not_count(tmp_path, files):
    hard = "<difficult>1</difficult>"
    boxes, data = boxes_of(tmp_path, files, thing(more=hard), thing("dog", more=hard), thing("dog"), thing("eel"))
    assert boxes[:, 6].tolist() == [1, 1, 0, 0]
    assert data.train.truth["present"].tolist() == [[-1, 1, 1]]
    assert data.test.truth["present"].tolist() == [[1, 0, 0]]
    assert data.train.labels is None


def test_missing_and_broken_files_are_named_and_the_rest_is_read(tmp_path):
    files = layout(["a", "b", "c", "d", "my dog"], train=["a", "b", "c ", "d", "e", "", "my dog"], test=["t"])
    files |= layout(["t"])
    del files["JPEGImages/b.png"]
    files |= {"JPEGImages/c.png": b"no picture", "Annotations/d.xml": b"<annotation>", "JPEGImages/.DS_Store.png": b""}
    source = write(tmp_path / "voc", files)
    data = voc.load(seed=0, source=source)
    assert (len(data.train), voc.count(source=source)) == (2, (4, 1))
    assert data.train.truth["boxes"][:, 0].tolist() == [0, 1]
    assert data.skipped[0] == "Annotations/b.xml: the image JPEGImages/b.jpg is missing"
    assert data.skipped[1] == "ImageSets/Main/train.txt: 'e' has no annotation"
    assert [text.split(":")[0] for text in data.skipped[2:]] == ["Annotations/c.xml", "Annotations/d.xml"]


def test_a_class_of_the_test_pictures_only_is_left_out_and_named(tmp_path, files):
    files["Annotations/b.xml"] = annotation(thing("dog"), thing("cat"))
    data = voc.load(seed=0, source=write(tmp_path / "voc", files))
    assert data.classes == ("cat",)
    assert data.test.truth["boxes"][:, :2].tolist() == [[0, 0]]
    assert data.skipped == ("test boxes of 'dog': no training picture shows one",)


def test_several_years_are_joined(tmp_path):
    old = layout(["1", "2", "3"], "VOC2007/", train=["1"], val=["2"], trainval=["1", "2"], test=["3"])
    new = layout(["1", "4", "5"], "VOC2012/", train=["1"], val=["4", "5"], trainval=["1", "4", "5"])
    source = write(tmp_path / "VOCdevkit", old | new)
    for given in (source, str(tmp_path)):
        assert voc.count(source=given) == (5, 1)
    assert voc.count(source=source, test="val") == (2, 3)
    assert voc.count(source=source, train="VOC2007/trainval", test="VOC2012/val") == (2, 2)
    assert voc.count(source=source, train="VOC2007/train+VOC2012/trainval+VOC2007/train") == (4, 1)
    with pytest.raises(ValueError, match="must name lists in ImageSets/Main: test, train, trainval, val"):
        voc.count(source=source, train="trainvall")
    with pytest.raises(ValueError, match=r"VOC2007/Annotations/2\.xml is in the training and in the test split"):
        voc.count(source=source, train="trainval", test="val")


def test_the_lists_of_one_class_are_read_too(tmp_path, files):
    files["ImageSets/Main/cat_train.txt"] = b"a  1\r\nb -1\r\n"
    files |= layout(["t"], test=["t"])
    assert voc.count(source=write(tmp_path / "voc", files), train="cat_train") == (2, 1)


def test_an_archive_is_read_without_unpacking_after_the_folder(tmp_path, data_folder, files):
    write_archive(data_folder / "bccd_voc.tar.gz", {f"./bccd/{name}": content for name, content in files.items()})
    assert voc.count(source="ssl_models/datasets/voc.py") == (1, 1)
    assert len(voc.load(seed=0).train) == 1
    assert [path.name for path in data_folder.iterdir()] == ["bccd_voc.tar.gz"]
    write(data_folder / "bccd_voc", layout(["a", "b", "c"], train=["a", "c"], test=["b"]))
    assert voc.count() == (2, 1)
    assert voc.count(source=write(tmp_path / "voc", layout(["a", "b"], train=["a"], val=["b"]))) == (1, 1)


def test_what_is_no_such_layout_is_refused(tmp_path, data_folder, files):
    with pytest.raises(FileNotFoundError, match=r"archive = 'bccd_voc\.tar\.gz' is neither"):
        voc.load(seed=0)
    with pytest.raises(ValueError, match="must hold VOC's folders Annotations, JPEGImages, ImageSets/Main"):
        voc.load(seed=0, source=write(tmp_path / "other", {"cat/a.png": picture()}))
    with pytest.raises(ValueError, match="size = 0 must be at least 1"):
        voc.load(seed=0, size=0)
    files["JPEGImages/b.png"] = b""
    with pytest.raises(ValueError, match=r"none of the test pictures could be read; Annotations/b\.xml"):
        voc.load(seed=0, source=write(tmp_path / "voc", files))
    (data_folder / "bccd_voc.tar.gz").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="fetch it again"):
        voc.count()


@pytest.mark.skipif(not REAL or not (Path(REAL) / "bccd_voc.tar.gz").is_file(), reason="$COVEY_DATA has no bccd_voc")
def test_the_real_archive(monkeypatch):
    monkeypatch.setenv("COVEY_DATA", REAL)
    data = voc.load(seed=0, size=96)
    assert (len(data.train), len(data.test)) == voc.count() == (110, 50)
    assert data.classes == ("Platelets", "RBC", "WBC")
    boxes = data.train.truth["boxes"]
    assert (boxes[:, 4:6] > boxes[:, 2:4]).all()
    assert boxes[:, [2, 4]].min() >= 0
    assert boxes[:, [3, 5]].min() >= 12  # 640 x 480: an eighth of grey above and below
    assert boxes[:, [3, 5]].max() <= 84
    # A white cell's nucleus is violet: less red in its box than in the same place of the mirrored picture.
    redder = []
    for sample, _, *sides in boxes[boxes[:, 1] == data.classes.index("WBC"), :6].int().tolist():
        left, top, right, bottom = sides
        red = data.train.images[sample, 0].float()
        redder.append(red.flip(1)[top:bottom, left:right].mean() - red[top:bottom, left:right].mean())
    assert (torch.stack(redder) > 0).float().mean() > 0.85
