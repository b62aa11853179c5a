"""A user's own tables of labels and groups, lists of paths, and which files a source is made of."""

import os
import shutil

import pytest

from ssl_models.datasets import folder, picture_list
from ssl_models.datasets._common.split import UNLABELLED, LeftOut
from tests.ssl_models.test_folder import plain


@pytest.fixture
def photos(tmp_path):
    """Ten pictures in two nested folders."""
    for index in range(10):
        plain(tmp_path / "photos" / "2024" / f"{'may' if index < 5 else 'june'}" / f"{index}.png")
    return tmp_path / "photos"


def table(photos, text):
    path = photos.parent / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def names(count=10):
    return [f"2024/{'may' if index < 5 else 'june'}/{index}.png" for index in range(count)]


def load(photos, **settings):
    return folder.load(seed=0, source=str(photos), size=8, store=1.0, **settings)


# Tables


def test_the_first_column_is_the_labels_and_the_others_are_further_sets(photos):
    rows = [f"{name},{'ab'[index % 2]},camera {index % 3}" for index, name in enumerate(names())]
    text = "\ufefffile,kind,camera\n" + "\n".join(rows)
    data = load(photos, labels=table(photos, text))
    assert (data.classes, data.label_sets) == (("a", "b"), {"camera": ("camera 0", "camera 1", "camera 2")})
    for split in (data.train, data.test):
        number = [int(name[-5]) for name in split.origin.files]
        assert split.labels.tolist() == [index % 2 for index in number]
        assert split.truth["labels.camera"].tolist() == [index % 3 for index in number]
    assert len(data.train) + len(data.test) == 10
    line = folder.told(source=str(photos), labels=str(photos.parent / "labels.csv"))
    assert line == "2 folders two deep: 2 labels, 3 of camera; 10 pictures"


def test_pictures_without_a_row_or_a_label_are_left_out_and_counted(photos):
    rows = [f"./{name},{'ab'[index % 2] if index else ''}" for index, name in enumerate(names(8))]
    data = load(photos, labels=table(photos, "\n".join(["file,label", *rows, "", ","])))
    assert len(data.train) + len(data.test) == 7
    assert data.left_out == (LeftOut(".png", "no label in labels.csv", 3, "2024/june/8.png", UNLABELLED),)
    line = folder.told(source=str(photos), labels=str(photos.parent / "labels.csv"))
    assert line.endswith("2 labels; 7 pictures, 3 left out: 3 with no label in labels.csv")


def test_groups_of_a_table_and_those_without_a_row(photos):
    rows = [f"{name},p{index % 2}" for index, name in enumerate(names(6))]
    data = load(photos, group=table(photos, "\n".join(["file,group", *rows])))
    assert not set(data.train.origin.groups) & set(data.test.origin.groups)
    assert {*data.train.origin.groups, *data.test.origin.groups} == {"p0", "p1", *names()[6:]}
    assert "4 pictures have no group in labels.csv: each is a group of its own" in data.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty; write a header such as file,label"),
        ("file,label\n", "it has a header and no row"),
        ("name,label\na,b\n", "no column is called `file`; the header is: name, label"),
        ("file;label\na;b\n", "no column is called `file`; the header is: file;label"),
        ("file,label,label\na,b,c\n", "two columns are called 'label'; rename one"),
        ("file,label,\na,b,c\n", "a column has no name"),
        ("file,a/b\na,b\n", "'a/b' is the name of a column; use letters"),
        ("file\na\n", "it has no column beside `file`"),
        ("file,group\n2024/may/0.png,x\n", "it has no column of labels beside `file` and `group`"),
        ("file,label\n2024/may/0.png,x,y\n", "line 2: it has 3 values, and the header 2"),
        ("file,label\n2024/may/0.png,x\n2024/may/0.png,y\n", "line 3: '2024/may/0.png' has a row already"),
        (
            "file,label\n2024/may/0.png,x\ngone.png,y\n",
            "1 of its rows name no picture of '.*', the first 'gone.png'",
        ),
        (
            "file,label\n0.png,x\n1.png,y\n",
            "none of its rows names a picture .*'0.png'; .* '2024/june/5.png'",
        ),
        ("file,label\n2024/may/0.png,x\n2024/may/1.png,x\n", "the labels 'label' have one class only, 'x'"),
        ('file,label\n"2024/may/0.png,x\n', "line 2: unexpected end of data"),
        (b"file,label\ncaf\xe9.png,x\n", "it is not UTF-8"),
        (b"\xff\xfef\0i\0", "it is not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(photos, text, message):
    with pytest.raises(ValueError, match=f"labels = '.*labels.csv'.*{message}"):
        folder.count(source=str(photos), labels=table(photos, text))


def test_a_table_that_is_not_there_or_no_file_is_refused(photos):
    with pytest.raises(FileNotFoundError, match=r"labels = '.*nowhere\.csv': there is no such file"):
        folder.count(source=str(photos), labels=str(photos / "nowhere.csv"))
    os.mkfifo(photos.parent / "pipe.csv")
    with pytest.raises(ValueError, match=r"group = '.*pipe\.csv': it cannot be read: a pipe"):
        folder.count(source=str(photos), group=str(photos.parent / "pipe.csv"))
    with pytest.raises(ValueError, match="no column is called `group`; there are file, label"):
        folder.count(source=str(photos), group=table(photos, "file,label\n2024/may/0.png,x\n"))


# Lists


def test_a_list_is_read_in_its_order_and_what_leads_to_nothing_is_named(photos):
    lines = [*names(6), str(photos / names()[7]), "gone.png", "notes.txt", "", names()[0], "2024"]
    (photos / "list.txt").write_text("\n".join(lines))
    data = picture_list.load(seed=0, source=str(photos / "list.txt"), size=8, store=1.0)
    assert [*data.train.origin.files, *data.test.origin.files].count(names()[0]) == 1
    assert (len(data.train), len(data.test)) == picture_list.count(source=str(photos / "list.txt")) == (6, 1)
    assert data.skipped == ("gone.png: No such file or directory",)
    assert data.notes == ("1 lines of the list are there more than once; each counts once",)
    assert picture_list.told(source=str(photos / "list.txt")) == (
        "a list of 11 paths: no labels; 7 pictures, 3 left out: 1 without a suffix, 1 .txt, 1 unreadable"
    )


def list_of(photos, lines):
    (photos / "list.txt").write_text("\n".join(lines))
    return str(photos / "list.txt")


@pytest.mark.parametrize(
    ("line", "row"), [("./{}", "{}"), ("./{}", "./{}"), ("{root}/{}", "{root}/{}"), ("{root}/2024/{}", "{}")]
)
def test_rows_of_a_table_are_found_however_the_lines_of_the_list_are_spelled(photos, line, row):
    own = [name.removeprefix("2024/") if "2024" in line else name for name in names()]
    lines = [line.format(name, root=photos) for name in own]
    rows = [f"{row.format(name, root=photos)},{'ab'[number % 2]}" for number, name in enumerate(own)]
    told = picture_list.told(source=list_of(photos, lines), labels=table(photos, "\n".join(["file,label", *rows])))
    assert told == "a list of 10 paths: 2 labels; 10 pictures"


@pytest.mark.parametrize("line", ["./{}/0.png", "{root}/{}/0.png"])
def test_splits_and_classes_of_a_list_count_from_its_folder_or_from_the_one_that_its_lines_share(photos, line):
    folders = [f"{split}/{label}" for split in ("train", "test") for label in "ab"]
    for folder_of_class in folders:
        plain(photos / folder_of_class / "0.png")
    source = list_of(photos, [line.format(name, root=photos) for name in folders])
    assert picture_list.told(source=source) == "train/ and test/ with 2 class folders: 2 labels; 4 pictures"
    source = list_of(photos, [str(photos / name) for name in names()])
    assert picture_list.told(source=source, labels="folders") == "2 class folders: 2 labels; 10 pictures"


def test_an_absolute_and_a_relative_line_of_one_image_count_once(photos):
    source = list_of(photos, [names()[0], str(photos / names()[0]), f"./{names()[1]}"])
    assert [picture.name for picture in picture_list.find(source).pictures] == names()[:2]


def test_lists_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no list '.*list\.txt'"):
        picture_list.count(source=str(tmp_path / "list.txt"))
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png")
    with pytest.raises(ValueError, match=r"list\.txt' is not UTF-8"):
        picture_list.count(source=str(tmp_path / "list.txt"))
    (tmp_path / "list.txt").write_text("a.png\nb\0.png\n")
    with pytest.raises(ValueError, match=r"list\.txt', line 2: it holds a NUL, which no path has; write one path on"):
        picture_list.count(source=str(tmp_path / "list.txt"))
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    with pytest.raises(ValueError, match=r"none of its 2 lines leads to an image, the first 'a\.png'; a line"):
        picture_list.count(source=str(tmp_path / "list.txt"))


# The files of a source


def test_the_files_are_those_that_are_opened_links_followed_and_nothing_else(photos, tmp_path):
    shutil.move(photos / "2024", tmp_path / "store")
    (photos / "2024").symlink_to("../store")
    (photos / "gone.png").symlink_to("nowhere")
    os.mkfifo(photos / "pipe.png")
    os.mkfifo(photos / "pipe")
    for name in ("clip.mov", ".dvcignore"):
        (photos / name).touch()
    os.rename(photos / names()[0], os.fsencode(photos / "2024" / "may") + b"/caf\xe9.png")
    labels = table(photos, "file,label\n")
    found = list(folder.files(source=str(photos), labels=labels, group="folder"))
    assert found[0] == ("labels", tmp_path / "labels.csv")
    assert [name for name, path in found if path is None] == [
        "gone.png: a link to nothing",
        "pipe: a pipe, not a file",
        "pipe.png: a pipe, not a file",
        "2024/may/caf\\xe9.png: its name is not UTF-8",
    ]
    assert sorted(name for name, path in found[1:] if path) == sorted(names()[1:])
    assert all(path.is_file() for _, path in found if path)
    (photos / "list.txt").write_text("2024/may/1.png\n2024/may/2.png\n")
    listed = [name for name, _ in picture_list.files(source=str(photos / "list.txt"))]
    assert listed == ["source", "2024/may/1.png", "2024/may/2.png"]
