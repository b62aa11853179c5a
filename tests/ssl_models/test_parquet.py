"""Pictures in parquet files: columns, labels, splits, and that a row group is decoded once."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from ssl_models.datasets import parquet
from ssl_models.datasets._pictures import in_parquet, parquet_columns, parquet_rows


def png(red, size=8):
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (red, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def structs(reds, paths=None):
    return [{"bytes": png(red), "path": paths[row] if paths else None} for row, red in enumerate(reds)]


def write(path, columns, features=None, rows_in_a_group=2, **settings):
    """A parquet file; features: Hugging Face's description of the columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path, row_group_size=rows_in_a_group, **settings)
    return path


def reds(found):
    return [Image.open(io.BytesIO(picture.content())).getpixel((0, 0))[0] for picture in found.pictures]


def labels(found):
    return [dict(picture.labels) for picture in found.pictures]


HUGGING = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}


def test_a_hugging_face_data_set_has_splits_and_the_names_of_its_classes(tmp_path):
    for name, row in (("train-00000-of-00002", 1), ("train-00001-of-00002", 3), ("test-00000-of-00001", 5)):
        columns = {"image": structs([row, row + 1]), "label": [0, 1], "width": [8, 8]}
        write(tmp_path / "data" / f"{name}.parquet", columns, HUGGING)
    (tmp_path / "README.md").write_text("x")
    found = in_parquet.find(tmp_path)
    assert found.what == "3 parquet files, pictures in the column 'image'"
    assert reds(found) == [5, 6, 1, 2, 3, 4]
    assert [picture.split for picture in found.pictures] == ["test"] * 2 + ["train"] * 4
    assert labels(found)[:2] == [{"label": "cat"}, {"label": "dog"}]
    assert found.pictures[3].name == "data/train-00000-of-00002.parquet/1"
    assert [(left.suffix, left.count, left.example) for left in found.left_out] == [(".md", 1, "README.md")]


def test_a_pattern_names_its_files_in_order(tmp_path):
    for place, row in (("train/x-0", 1), ("train/x-1", 3), ("test/x-0", 5), ("test/x-1", 7), ("test/x-2", 9)):
        write(tmp_path / f"{place}.parquet", {"image": structs([row, row + 1])})
    pattern = str(tmp_path / "{train,test}" / "x-{0..1}.parquet")
    found = in_parquet.find(pattern)
    assert reds(found) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [picture.split for picture in found.pictures] == ["train"] * 4 + ["test"] * 4
    assert [name for name, _ in parquet.files(source=pattern)][1:3] == ["train/x-1.parquet", "test/x-0.parquet"]
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*/train/x-2\.parquet'"):
        in_parquet.find(str(tmp_path / "{train,test}" / "x-{0..2}.parquet"))


def test_paths_name_pictures_where_they_are_unique(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": structs([1, 2], ["cats/1.png", "/dogs/1.png"])})
    assert [picture.name for picture in in_parquet.find(path).pictures] == ["cats/1.png", "dogs/1.png"]
    write(path, {"image": structs([1, 2], ["1.png", "1.png"])})
    assert [picture.name for picture in in_parquet.find(path).pictures] == ["a.parquet/0", "a.parquet/1"]


def test_plain_bytes_are_found_by_what_they_hold(tmp_path):
    path = write(tmp_path / "a.parquet", {"hash": [b"\x00", b"\x01"], "photo": [png(7), png(8)], "id": [5, 6]})
    found = in_parquet.find(path)
    assert reds(found) == [7, 8]
    assert labels(found) == [{}, {}]


def test_which_columns_are_labels(tmp_path):
    columns = {
        "image": structs([1, 2, 3, 4]),
        "species": ["cat", "dog", "cat", None],
        "caption": ["a", "b", "c", "d"],
        "width": [8, 8, 9, 9],
    }
    path = write(tmp_path / "a.parquet", columns)
    assert labels(in_parquet.find(path)) == [{"species": "cat"}, {"species": "dog"}, {"species": "cat"}, {}]
    assert labels(in_parquet.find(path, labels="width"))[2] == {"width": "9"}
    assert labels(in_parquet.find(path, labels="none")) == [{}] * 4
    named = write(path, {**columns, "coarse_label": [1, 1, -1, 0]})
    assert labels(in_parquet.find(named)) == [{"coarse_label": "1"}] * 2 + [{}, {"coarse_label": "0"}]


def test_a_test_split_without_labels_gives_way_to_validation(tmp_path):
    for name, classes in (("train", [0, 1]), ("test", [-1, -1]), ("validation", [1, 0])):
        write(tmp_path / f"{name}-00000-of-00001.parquet", {"image": structs([1, 2]), "label": classes}, HUGGING)
    found = in_parquet.find(tmp_path)
    assert [picture.split for picture in found.pictures] == ["train", "train", "test", "test"]
    assert labels(found)[2:] == [{"label": "dog"}, {"label": "cat"}]
    assert found.notes == ("the split test passed over: validation is the test split",)


def test_rows_in_order_decode_each_row_group_once_whatever_the_threads(tmp_path, monkeypatch):
    numbers = list(range(200))
    path = write(tmp_path / "a.parquet", {"image": structs(numbers)}, rows_in_a_group=50)
    monkeypatch.setattr(parquet_rows, "STRETCH_BYTES", 0)  # 32 rows
    begun, begin = [], parquet_rows._Stretches._begin
    monkeypatch.setattr(
        parquet_rows._Stretches, "_begin", lambda self, group: (begun.append(group), begin(self, group))[1]
    )
    found = in_parquet.find(path)
    for start in range(0, 200, 25):  # what is decoded at one time
        with ThreadPoolExecutor(8) as pool:
            content = list(pool.map(lambda picture: picture.content(), found.pictures[start : start + 25]))
        assert content == [png(number) for number in numbers[start : start + 25]]
    assert begun == [0, 1, 2, 3]
    assert found.pictures[3].content() == png(3)
    assert begun == [0, 1, 2, 3, 0]


def test_only_a_few_stretches_of_rows_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_rows, "STRETCH_BYTES", 0)
    noise = [b"%07d" % row * 20_000 for row in range(400)]  # 56 MB in one row group
    pages = {"use_dictionary": False, "write_batch_size": 16, "compression": "none"}
    path = write(tmp_path / "a.parquet", {"image": noise}, {"image": {"_type": "Image"}}, 400, **pages)
    found = in_parquet.find(path)
    before = pyarrow.total_allocated_bytes()
    most = 0
    for row, picture in enumerate(found.pictures):
        assert picture.content() == noise[row]
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert most < 30e6


def test_a_row_without_bytes_is_told_when_it_is_read(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": [*structs([1]), {"bytes": None, "path": "b.png"}]})
    found = in_parquet.find(path)
    assert reds(in_parquet.Found(found.pictures[:1], "")) == [1]
    with pytest.raises(ValueError, match="the row holds no bytes of a picture"):
        found.pictures[1].content()


def one(columns, features=None):
    return lambda folder: write(folder / "a.parquet", columns, features)


def broken(folder):
    path = write(folder / "a.parquet", {"image": structs([1, 2])})
    path.write_bytes(path.read_bytes()[:-20])
    return path


def text(folder):
    (folder / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1")
    return folder


def empty(folder):
    (folder / "a.txt").write_text("")
    return folder


def two_kinds(folder):
    write(folder / "a.parquet", {"image": structs([1])})
    write(folder / "b.parquet", {"photo": structs([1])})
    return folder


def half_in_splits(folder):
    for name in ("train", "test", "more"):
        write(folder / f"{name}.parquet", {"image": structs([1])})
    return folder


BAD = {
    "nothing": (lambda folder: folder / "no.parquet", "", FileNotFoundError, "there is no file '.*no.parquet'"),
    "no files": (empty, "", ValueError, r"the folder '.*' holds no \*\.parquet"),
    "no pictures": (
        one({"id": [1, 2], "text": ["a", "b"], "sound": [{"bytes": b"RIFF"}] * 2}),
        *("", ValueError, r"has no column of pictures; its columns are: id \(int64\), text \(string\), sound \(struct"),
    ),
    "several": (
        one({"left": structs([1]), "right": structs([1])}),
        *("", ValueError, "several columns of pictures: left, right; name one as `column`"),
    ),
    "unknown": (one({"a": structs([1])}), "b", ValueError, r"column = 'b' is not there; its columns are: a \(struct"),
    "no bytes": (one({"a": structs([1]), "b": [1]}), "b", ValueError, "column = 'b' holds no bytes"),
    "no rows": (one({"image": pyarrow.array([], pyarrow.binary())}, HUGGING), "", ValueError, "a.parquet' has no rows"),
    "no columns": (one({}), "", ValueError, "has no column of pictures; its columns are: none"),
    "cut": (broken, "", ValueError, r"a.parquet' cannot be read as a parquet file .*magic bytes.*fetch it again"),
    "text": (text, "", ValueError, "a.parquet' cannot be read as a parquet file"),
    "two kinds": (two_kinds, "", ValueError, "a.parquet' has its pictures in the column 'image', and '.*'photo'"),
    "half": (half_in_splits, "", ValueError, r"belong to a split by their names \(test, train\), others not"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(tmp_path, case):
    make, column, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        in_parquet.find(make(tmp_path), column=column)


def test_a_damaged_page_is_told_as_a_fault_of_its_rows(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": structs(range(9))}, rows_in_a_group=9)
    found = in_parquet.find(path)
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ValueError, match=re.escape(f"'{path}' cannot be read as a parquet file")):
            found.pictures[0].content()


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        parquet_columns.opened(tmp_path / "a.parquet")


def test_a_data_set_is_decoded_with_its_labels_and_names(tmp_path):
    for name, first in (("train", 1), ("test", 5)):
        rows = {"image": structs(range(first, first + 4)), "label": [1, 0, 1, 0]}
        write(tmp_path / "set" / f"{name}-00000-of-00001.parquet", rows, HUGGING)
    source = str(tmp_path / "set")
    data = parquet.load(seed=0, source=source, size=8, store=1.0, room=tmp_path / "room")
    assert data.classes == ("cat", "dog")
    assert data.train.images[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert data.test.labels.tolist() == [1, 0, 1, 0]
    assert data.test.origin.files[0] == "test-00000-of-00001.parquet/0"
    assert (tmp_path / "room" / "train.images.npy").is_file()
    assert parquet.count(source=source) == (4, 4)
    told = "given splits, 2 parquet files, pictures in the column 'image': 2 labels; 8 pictures"
    assert parquet.told(source=source) == told
    files = [name for name, _ in parquet.files(source=source)]
    assert files == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    assert parquet.side(source=source) == 8


def test_files_without_labels_make_no_classes(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.parquet", {"image": structs(range(5))})
    assert parquet.load(seed=0, source=str(tmp_path), size=8).classes == ()


def test_labels_that_most_pictures_lack_are_passed_over(tmp_path):
    columns = {"image": structs(range(4)), "label": [0, 1, 0, 1], "target": [0, 1, None, None], "class": [1, 1, 1, 1]}
    found = in_parquet.find(write(tmp_path / "a.parquet", columns))
    assert labels(found) == [{"label": "0"}, {"label": "1"}] * 2
    assert found.notes == ("the labels 'target' passed over: 2 pictures with 'label' have none",)
