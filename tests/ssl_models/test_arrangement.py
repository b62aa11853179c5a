"""Labels, groups and splits of pictures in folders of any depth, and every file that is left out."""

import os

import pytest
from PIL import Image

from ssl_models.datasets import folder
from ssl_models.datasets._common import pictures
from ssl_models.datasets._common.passed_over import PassedOver, in_short
from ssl_models.datasets._common.split import UNLABELLED, UNUSED, LeftOut
from ssl_models.datasets._pictures.arrangement import arranged, told
from ssl_models.datasets._pictures.found import Found, Picture
from tests.ssl_models.test_folder import plain


def named(*names, **labels):
    """A source of pictures of these names, each with the same labels if any."""
    return Found([Picture(name, b"", labels) for name in names], "a source")


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return str(root)


def many(*folders, each=10):
    return [f"{place}/{index}.jpg" for place in folders for index in range(each)]


def listed(names, **settings):
    return arranged(named(*names), source="photos", **settings)


def entries(listing):
    return [*listing.train, *listing.test]


# Layouts


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (many("a", "b"), "2 class folders: 2 labels; 20 pictures"),
        ([*many("a", "b"), "1.jpg"], "2 folders one deep, and pictures beside them: no labels; 21 pictures"),
        (many("a"), "1 folder one deep: no labels; 10 pictures"),
        (["1.jpg", "2.jpg"], "one folder: no labels; 2 pictures"),
        (many("2023/may", "2024/june"), "2 folders two deep: no labels; 20 pictures"),
        (many("a", "b/c/d"), "2 folders up to three deep: no labels; 20 pictures"),
        (many("train/a", "train/b", "val/a", "val/b"), "train/ and val/ with 2 class folders: 2 labels; 40 pictures"),
        (many("train/a/x", "test/a"), "train/ and test/, 2 folders up to three deep: no labels; 20 pictures"),
        (many("train", "test"), "train/ and test/, 2 folders one deep: no labels; 20 pictures"),
    ],
)
def test_a_folder_is_told_in_one_line(tmp_path, names, line):
    assert folder.told(source=tree(tmp_path, *names)) == line


def test_the_line_counts_what_is_left_out(tmp_path):
    source = tree(
        tmp_path, *many("x/a", "x/b"), "x/a/1.mov", "x/2.MOV", "README", "notes.txt", ".hidden", "x/.git/1.jpg"
    )
    (tmp_path / "gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert folder.told(source=source) == (
        "2 folders two deep: no labels; 20 pictures, 6 left out: 2 .mov, 1 without a suffix, 1 .txt, 2 unreadable"
    )


def test_a_file_that_may_not_be_read_is_unreadable_whatever_the_words_of_its_fault():
    passed_over = PassedOver()
    passed_over.add_unreadable("a.jpg", "no permission to read it", ".jpg")
    passed_over.add_unreadable("b.jpg", "no suffix of a picture that is read", ".jpg")
    assert in_short(passed_over.left_out()) == "2 left out: 2 unreadable"
    assert passed_over.notes() == ()


def test_the_first_folder_is_the_class_where_that_is_asked_for():
    names = [*many("cats/tabby/young", "dogs"), "stray.jpg", "other.png", "cats/1.jpg"]
    listing = listed(names, labels="folders")
    assert listing.classes == ("cats", "dogs")
    assert {entry.name.split("/")[0]: entry.label for entry in entries(listing)} == {"cats": 0, "dogs": 1}
    assert listing.left_out == (
        LeftOut(".jpg", "no class folder", 1, "stray.jpg", UNLABELLED),
        LeftOut(".png", "no class folder", 1, "other.png", UNLABELLED),
    )
    given = listed(many("train/a/x", "train/b", "test/a"), labels="folders")
    assert (given.classes, len(given.train), len(given.test)) == (("a", "b"), 20, 10)


def test_class_folders_have_no_labels_where_none_are_wanted():
    listing = listed(many("a", "b"), labels="none")
    assert (listing.classes, {entry.label for entry in entries(listing)}) == ((), {-1})


def test_a_second_test_folder_is_left_out_and_told():
    listing = listed(many("train", "test", "val"))
    assert (len(listing.train), len(listing.test)) == (10, 10)
    assert listing.left_out == (LeftOut(".jpg", "in val/ while test/ is the test split", 10, "val/0.jpg", UNUSED),)
    assert told(listing).endswith("; 20 pictures, 10 left out: 10 in val/ while test/ is the test split")


def test_a_source_s_own_labels_and_splits_are_kept():
    pictures = [
        Picture(f"{index}", b"", {"fine": str(index % 4), "coarse": str(index % 2)}, "test" if index > 7 else "train")
        for index in range(12)
    ]
    found = Found([*pictures, Picture("x", b"", {"fine": "0"}, "train")], "2 files")
    listing = arranged(found, source="s", folders=False)
    assert (listing.classes, listing.label_sets) == (("0", "1", "2", "3"), {"coarse": ("0", "1")})
    assert [(entry.label, entry.further) for entry in listing.test] == [(0, (0,)), (1, (1,)), (2, (0,)), (3, (1,))]
    assert listing.left_out == (LeftOut("", "no label", 1, "x", UNLABELLED),)
    assert listing.what == "given splits, 2 files: 4 labels, 2 of coarse"
    other = arranged(found, source="s", labels="coarse")
    assert (other.classes, list(other.label_sets)) == (("0", "1"), ["fine"])


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (
            many("a", "b"),
            {"labels": "foldrs"},
            "labels = 'foldrs': it must be one of: auto, folders, none, a file NAME",
        ),
        (many("a"), {"labels": "folders"}, "the labels 'folder' have one class only, 'a'; two or more"),
        (["1.jpg", "2.jpg"], {"labels": "folders"}, "the labels 'folder' have no class"),
        (many("a", "b"), {"group": "week"}, "group = 'week': it must be one of: folder, day, a file NAME.csv"),
        (many("a", "b"), {"group": "folder"}, "group = 'folder': no class has pictures of two groups, so that"),
        (many("a"), {"group": "folder"}, "group = 'folder': all pictures are of one group, 'a', so that"),
        (["1.jpg"], {}, "'photos' holds 1 images: too few to give 0.2"),
        (many("train/a", "train/b", "test/c"), {}, "'photos/test' has the class 'c', of which 'photos/train' has no"),
        (many("train", "test", "extra"), {}, "holds the folder 'extra' next to train/ and test/"),
        ([*many("train", "test"), "x.jpg"], {}, "holds the image 'x.jpg' next to train/ and test/"),
        (many("a"), {"test_fraction": 1.0}, "test_fraction = 1.0"),
    ],
)
def test_what_cannot_be_arranged_is_refused_by_name(names, settings, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        listed(names, **settings)


# Groups


def test_a_group_lies_in_one_split_whole():
    names = [name for place in range(30) for name in many(f"shoot{place:02}", each=place % 7 + 1)]
    listing = listed(names, labels="none", group="folder", seed=3)
    train, test = ({entry.group for entry in part} for part in (listing.train, listing.test))
    assert not train & test
    assert len(train | test) == 30
    assert abs(len(listing.test) / len(names) - 0.2) < 0.03
    assert listing.what.endswith("no labels, in 30 groups")
    again = listed(names, labels="none", group="folder", seed=3)
    assert again.test == listing.test
    assert listed(names, labels="none", group="folder", seed=4).test != listing.test


def test_groups_are_drawn_within_classes():
    names = many(*(f"{kind}/{place}" for kind in ("cat", "dog") for place in range(10)))
    listing = listed(names, labels="folders", group="folder")
    assert [entry.label for entry in listing.test].count(0) == [entry.label for entry in listing.test].count(1) == 20


def test_a_class_of_one_group_stays_in_train_and_an_odd_part_is_told():
    names = [*many("cat/1", each=20), *many("dog/1", "dog/2", each=15)]
    listing = listed(names, labels="folders", group="folder")
    assert {entry.label for entry in listing.test} == {1}
    assert listing.notes == ("the test split has 30% of the pictures, not 20%: groups stay whole",)


def test_no_class_is_in_the_test_split_alone(tmp_path):
    """Every group has one picture of the rare class's own or none; the group with the only ones stays in train."""
    rows = [f"{index}.jpg,{'rare' if index in (0, 1) else 'usual'},{index // 2}" for index in range(40)]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,group", *rows]))
    table = str(tmp_path / "all.csv")
    for seed in range(8):
        listing = listed([f"{index}.jpg" for index in range(40)], labels=table, group=table, seed=seed)
        assert listing.classes == ("rare", "usual")
        assert {entry.label for entry in listing.train} == {0, 1}
        assert listing.label_sets == {}


def test_days_are_those_of_exif_then_of_the_file(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:01 12:00:00"
    for index in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.jpg", exif=exif)
        plain(tmp_path / f"{index}.png")
        os.utime(tmp_path / f"{index}.png", (86400, 86400))
    data = folder.load(seed=0, source=str(tmp_path), size=8, group="day", test_fraction=0.5)
    groups = {split: set(getattr(data, split).origin.groups) for split in ("train", "test")}
    assert sorted(groups.values(), key=min) == [{"1970-01-02"}, {"2024-05-01"}]
    assert "4 pictures tell no day in their EXIF: that of the file's last change (UTC) counts" in data.notes
    assert data.what == "one folder: no labels, in 2 groups; 8 pictures"


def test_a_day_is_looked_up_once_for_as_long_as_a_file_stays_the_same(tmp_path, monkeypatch):
    for index in range(4):
        plain(tmp_path / f"{index}.png")
        os.utime(tmp_path / f"{index}.png", (86400 * index, 86400 * index))
    looked_up, opened = [], pictures.opened
    monkeypatch.setattr(pictures, "opened", lambda content: looked_up.append(content.name) or opened(content))
    for _ in range(2):
        assert folder.told(source=str(tmp_path), group="day").endswith("4 groups; 4 pictures")
    assert sorted(looked_up) == ["0.png", "1.png", "2.png", "3.png"]
    os.utime(tmp_path / "0.png", (86400 * 9, 86400 * 9))
    folder.told(source=str(tmp_path), group="day")
    assert sorted(looked_up) == ["0.png", "0.png", "1.png", "2.png", "3.png"]


def test_a_group_in_both_given_splits_is_refused(tmp_path):
    (tmp_path / "g.csv").write_text("file,group\ntrain/0.jpg,anna\ntest/1.jpg,anna\n")
    with pytest.raises(ValueError, match="1 groups have pictures in both splits of 'photos', the first 'anna'"):
        listed(many("train", "test"), group=str(tmp_path / "g.csv"))
