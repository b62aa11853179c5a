"""WebDataset's tars: samples, labels, patterns, and that damage and tricks are told by name."""

import io
import json
import tarfile

import pytest

from ssl_models.datasets import webdataset
from ssl_models.datasets._pictures import in_tars, shards
from tests.ssl_models.test_archive import pack
from tests.ssl_models.test_cifar10 import png


def write(path, members, mode="w"):
    """A tar of members: pairs of a name and its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def samples(first, number=2):
    return [
        item
        for n in range(first, first + number)
        for item in ((f"{n:04}.png", png(n)), (f"{n:04}.cls", b"%d\n" % (n % 2)))
    ]


def names(found):
    return [picture.name for picture in found.pictures]


def labels(found):
    return [dict(picture.labels) for picture in found.pictures]


def test_a_pattern_names_its_tars_in_order(tmp_path):
    for number in (9, 10, 11):
        write(tmp_path / f"a-{number:03}.tar", samples(number))
    found = in_tars.find(str(tmp_path / "a-{009..011}.tar"))
    assert found.what == "3 tars"
    assert names(found)[:3] == ["a-009.tar/0009.png", "a-009.tar/0010.png", "a-010.tar/0010.png"]
    assert [picture.content() for picture in found.pictures[:2]] == [png(9), png(10)]
    assert labels(found)[:2] == [{"cls": "1"}, {"cls": "0"}]
    assert names(in_tars.find(tmp_path)) == names(found)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{8..10}", ["8", "9", "10"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]),
        ("{000..000}", ["000"]),
        ("plain", ["plain"]),
    ],
)
def test_braces_are_expanded_as_a_shell_does(pattern, expected):
    assert [str(path) for path in shards.expanded(pattern)] == expected


@pytest.mark.parametrize("pattern", ["{7..0}", "{a}", "{}", "{1..x}", "{-1..2}"])
def test_braces_that_are_no_range_are_refused(pattern):
    with pytest.raises(ValueError, match=r"must be a range upwards such as \{000\.\.007\}"):
        shards.expanded(f"a-{pattern}.tar")


@pytest.mark.parametrize("pattern", ["{0..999999999}", "{0..999}{0..999}"])
def test_a_pattern_of_too_many_files_is_refused(pattern):
    with pytest.raises(ValueError, match="at most 100,000 are read"):
        shards.expanded(pattern)


def test_a_name_with_braces_that_is_there_is_no_pattern(tmp_path):
    path = write(tmp_path / "a{1}.tar", samples(1))
    assert not shards.is_pattern(path)
    assert names(in_tars.find(path)) == ["0001.png", "0002.png"]


def test_labels_are_read_of_cls_label_and_json(tmp_path):
    contents = {
        **{"a.json": json.dumps({"label": 3}).encode(), "b.label": "caf\u00e9".encode(), "c.txt": b"a caption"},
        **{"d.json": b"{", "e.cls": b"\xff", "f.json": b'{"width": 8}', "g.json": b'{"label": [1]}'},
    }
    members = [item for name, content in contents.items() for item in ((name, content), (f"{name[0]}.png", png(1)))]
    found = in_tars.find(write(tmp_path / "a.tar", members))
    assert labels(found) == [{"label": "3"}, {"label": "café"}, {}, {}, {}, {}, {}]
    assert {(left.suffix, left.reason, left.count, left.example) for left in found.left_out} == {
        (".txt", "no suffix of a picture or a label that is read", 1, "a.tar/c.txt"),
        (".json", "no label in it that can be read", 2, "a.tar/d.json"),
        (".cls", "no label in it that can be read", 1, "a.tar/e.cls"),
    }


def test_splits_are_told_by_the_names_of_tars(tmp_path):
    for name in ("train-0", "train-1", "val-0"):
        write(tmp_path / f"set-{name}.tar", samples(1))
    assert [picture.split for picture in in_tars.find(tmp_path).pictures] == ["train"] * 4 + ["test"] * 2


def test_one_of_several_pictures_is_named_as_column(tmp_path):
    path = write(tmp_path / "a.tar", [("x/a.seg.png", png(1)), ("x/a.JPG", png(2))])
    with pytest.raises(
        ValueError, match=r"the sample 'x/a'.* has several pictures: jpg, seg\.png; name one as `column`"
    ):
        in_tars.find(path)
    for column, red in (("jpg", 2), (".seg.png", 1)):
        assert [picture.content() for picture in in_tars.find(path, column=column).pictures] == [png(red)]
    with pytest.raises(ValueError, match=r"a.tar' holds no picture of the suffix 'webp' \(column\)"):
        in_tars.find(path, column="webp")


def test_nothing_is_held_in_memory_and_a_changed_tar_is_told(tmp_path):
    path = write(tmp_path / "a.tar", samples(1))
    found = in_tars.find(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match=r"the tar 'a\.tar' is shorter than it was"):
        found.pictures[1].content()


def test_links_devices_and_odd_names_are_named(tmp_path):
    link, pipe = tarfile.TarInfo("l.png"), tarfile.TarInfo("p.png")
    link.type, pipe.type = tarfile.SYMTYPE, tarfile.FIFOTYPE
    found = in_tars.find(pack(tmp_path / "a.tar", "good.png", "caf\udce9.png", "._good.png", link, pipe, mode="w"))
    assert names(found) == ["good.png"]
    assert found.skipped == (
        "a.tar/caf\\xe9.png: its name is not UTF-8",
        "a.tar/l.png: a link in the archive, not a file",
        "a.tar/p.png: not a file",
    )


def cut(where):
    def make(path):
        write(path, [("a.png", bytes(3000)), ("b.png", bytes(3000))])
        path.write_bytes(path.read_bytes()[:where])

    return make


def damaged(path):
    write(path, [("a.png", b"1"), ("b.png", b"2")])
    content = path.read_bytes()
    path.write_bytes(content[:1024] + b"x" + content[1025:])


BAD = {
    "nothing in it": (lambda path: write(path, []), "a.tar' is a tar with no file in it"),
    "no bytes": (
        lambda path: path.write_bytes(b""),
        r"a.tar' cannot be read to its end \(empty file\); fetch it again",
    ),
    "no tar": (lambda path: path.write_bytes(b"<html>" * 200), "a.tar' cannot be read to its end"),
    "no picture": (lambda path: write(path, [("a.txt", b"")]), r"a.tar' holds no picture that can be read: .*'a.txt'"),
    "one name": (
        lambda path: write(path, [("a.png", b"1"), ("b.png", b"2"), ("a.png", b"3")]),
        "a.tar' has two files named 'a.png'; a sample's name must be its own",
    ),
    "cut in a picture": (cut(2000), r"a.tar' cannot be read to its end \(unexpected end of data\); fetch it again"),
    "cut in a header": (cut(512 + 3072 + 100), r"a.tar' cannot be read to its end \(a header is damaged or cut off\)"),
    "a damaged header": (damaged, r"a.tar' cannot be read to its end \(a header is damaged or cut off\)"),
    "compressed": (lambda path: write(path, samples(1), "w:gz"), "a.tar' is compressed, .*unpack it to a plain .tar"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tars_are_refused_by_name(tmp_path, case):
    make, message = BAD[case]
    make(tmp_path / "a.tar")
    with pytest.raises(ValueError, match=message):
        in_tars.find(tmp_path / "a.tar")


def test_what_is_not_there_is_named(tmp_path):
    write(tmp_path / "a-0.tar", samples(1))
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*a-1\.tar'"):
        in_tars.find(str(tmp_path / "a-{0..2}.tar"))
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"b' holds no \*\.tar$"):
        in_tars.find(tmp_path / "b")
    write(tmp_path / "b" / "a.tar.gz", samples(1), "w:gz")
    with pytest.raises(ValueError, match=r"b' holds no \*\.tar; unpack a\.tar\.gz and its like to a plain \.tar"):
        in_tars.find(tmp_path / "b")


def test_a_data_set_of_tars_is_decoded_with_its_labels_and_names(tmp_path):
    for name, first in (("train-0", 1), ("train-1", 3), ("test-0", 5)):
        write(tmp_path / f"{name}.tar", samples(first))
    write(tmp_path / "train-1.tar", [*samples(3), ("x.png", b"no picture"), ("x.cls", b"1")])
    data = webdataset.load(
        seed=0, source=str(tmp_path / "{train,test}-{0..1}.tar").replace("1}", "0}"), size=8, store=1.0
    )
    assert data.classes == ("0", "1")
    data = webdataset.load(seed=0, source=str(tmp_path), size=8, store=1.0)
    assert data.train.images[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    assert data.test.origin.files == ("test-0.tar/0005.png", "test-0.tar/0006.png")
    assert data.skipped == ("train-1.tar/x.png: no format of pictures that is known",)
    assert webdataset.count(source=str(tmp_path)) == (5, 2)
    assert webdataset.told(source=str(tmp_path)) == "given splits, 3 tars: 2 labels; 7 pictures"
    assert [name for name, _ in webdataset.files(source=str(tmp_path))] == ["test-0.tar", "train-0.tar", "train-1.tar"]
    assert webdataset.side(source=str(tmp_path)) == 32


def test_one_tar_of_class_folders_is_read_as_its_folder(tmp_path):
    members = [(f"./{name}/{n}.png", png(n)) for name in ("cat", "dog") for n in range(5)]
    data = webdataset.load(seed=0, source=str(write(tmp_path / "a.tar", members)), size=8)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (8, 2)
    assert data.size == 8
    assert data.train.images.shape[-1] == 9


def test_the_tars_of_a_source_are_looked_for_once_a_listing(tmp_path, monkeypatch):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.tar", [("1.png", png(1)), ("2.png", png(2))])
    asked, files_of = [], in_tars.files_of
    monkeypatch.setattr(in_tars, "files_of", lambda source: asked.append(source) or files_of(source))
    assert webdataset.count(source=str(tmp_path)) == (3, 1)
    assert asked == [str(tmp_path)]
