"""Pictures of one's own on the command line: which reader, which size, which settings its block gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tasks.settings import own_data, own_lines, readers
from tasks.settings.edit import select_data, selecting
from tasks.settings.own_data import Options
from tasks.settings.params import check_parameters, read
from tasks.settings.recognised import reader_of
from tasks.settings.schema import ParameterError
from tests.tasks.conftest import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project, with twelve nested pictures of 100 x 150 pixels beside it."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "project" / "ssl_models").symlink_to(ROOT / "ssl_models")
    for index in range(12):
        path = tmp_path / "photos" / str(index % 3) / "deep" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 150), (index, 0, 0)).save(path)
    return tmp_path / "project"


def block(root: Path) -> dict[str, object]:
    return dict(read(root)["data"])


def test_a_new_folder_gets_the_size_that_suits_it_which_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select_data(root, str(root.parent / "photos")) == "photos"
    source = (root.parent / "photos").as_posix()
    assert block(root) == {"name": "photos", "reader": "folder", "source": source, "size": 96, "store": 1.0}
    assert capsys.readouterr().out == "size 96: the usual short side is 100 pixels\n"
    assert readers.told(root, block(root), 0) == "3 folders two deep: no labels; 12 pictures"


def test_another_size_of_a_block_stores_no_more_than_the_pictures_have(root: Path) -> None:
    select_data(root, str(root.parent / "photos"), options=Options(size=48))
    assert "store" not in block(root)
    select_data(root, None, options=Options(size=80))
    assert "store" not in block(root)
    select_data(root, None, options=Options(size=88))
    assert (block(root)["size"], block(root)["store"]) == (88, 1.0)
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("store: 1.0", "store: 1.1"))
    select_data(root, "photos", options=Options(size=96))
    assert (block(root)["size"], block(root)["store"]) == (96, 1.1)


def test_a_table_in_the_home_of_nobody_is_named(root: Path) -> None:
    own = {"name": "photos", "reader": "folder", "source": str(root.parent / "photos")}
    for setting in ("labels", "group"):
        with pytest.raises(ValueError, match=f"{setting} = '~nobody_here/x.csv': it begins with the home of a user"):
            readers.told(root, {**own, setting: "~nobody_here/x.csv"}, 0)


def test_a_size_is_not_told_without_what_reads_the_pictures(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert select_data(root, str(root.parent / "a.parquet")) == "a"
    assert "size" not in block(root)


@pytest.mark.parametrize(
    ("side", "size"), [(1512, 224), (224, 224), (200, 192), (64, 64), (63, 60), (32, 32), (28, 28), (8, 8), (3, 3)]
)
def test_a_size_is_rounded_down_and_at_most_224(side: int, size: int) -> None:
    assert own_data.suiting(side) == size


def test_options_stand_in_the_block_s_line_and_change_nothing_else(root: Path) -> None:
    (root / "mine.csv").write_text("file,label\n")
    select_data(root, str(root.parent / "photos"), options=Options("folders", 48, "folder"))
    assert block(root)["labels"] == "folders"
    path = root / "params.yaml"
    text = path.read_text().replace("group: folder}", "group: folder}  # mine")
    path.write_text(text)
    select_data(root, None, options=Options(labels=str(root / "mine.csv"), group="day"))
    wanted = text.replace("labels: folders", "labels: mine.csv").replace("group: folder", "group: day")
    assert path.read_text() == wanted
    known = readers.settings_of(root, block(root), "load")
    assert (known["labels"], known["size"], known["group"]) == (str(root / "mine.csv"), 48, "day")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(size=128), "--size 128: the usual short side of the pictures of .* is 100 pixels.*give 96 or less"),
        (Options(labels="nowhere.csv"), r"--labels nowhere\.csv: there is no such file"),
        (Options(group="~nobody_here/x.csv"), r"--group ~nobody_here/x\.csv: there is no such file"),
    ],
)
def test_options_that_cannot_be_leave_the_file_as_it_was(root: Path, options: Options, words: str) -> None:
    before = (root / "params.yaml").read_text()
    with pytest.raises(ParameterError, match=words), selecting(root, str(root.parent / "photos"), options=options):
        pass
    assert (root / "params.yaml").read_text() == before


def test_options_that_a_reader_does_not_have_are_refused(root: Path) -> None:
    with pytest.raises(ParameterError, match="unknown setting 'labels'"):
        select_data(root, "cifar10", options=Options(labels="none"))
    select_data(root, None, options=Options(size=16))
    assert block(root)["size"] == 16


def test_a_block_that_is_an_alias_of_another_s_is_not_changed() -> None:
    with pytest.raises(ParameterError, match=r"write size: 9 into the block top\.b yourself; it is shared"):
        own_lines.with_settings("top:\n  a: &a {size: 3}\n  b: *a\n", "top", "b", {"size": 9})


@pytest.mark.parametrize(
    ("line", "settings", "changed"),
    [
        ("a: &a {x: 1}  # {size: 3}", {"size": 9}, "a: &a {x: 1, size: 9}  # {size: 3}"),
        ("a: {size: 3, x: '}'}", {"size": 9}, "a: {size: 9, x: '}'}"),
        ("a: {}", {"labels": "none"}, "a: {labels: none}"),
        ("a: {labels: 'it''s, so', y: 1}", {"labels": "no"}, "a: {labels: 'no', y: 1}"),
        ('a: {x: "size: 1, y", size: 2}', {"size": 9}, 'a: {x: "size: 1, y", size: 9}'),
        ("a: {b: {size: 2}}", {"size": 9}, "a: {b: {size: 2}, size: 9}"),
        ("a:\n    x: 1  # one\n    size: 3", {"size": 9}, "a:\n    x: 1  # one\n    size: 9"),
        ("a: &a\n    # more\n    x: 1", {"size": 9}, "a: &a\n    # more\n    size: 9\n    x: 1"),
        ("a: {x: 1}", {"labels": "my, {odd}: #.csv"}, "a: {x: 1, labels: 'my, {odd}: #.csv'}"),
    ],
)
def test_a_setting_is_changed_or_added_and_nothing_else(line: str, settings: dict[str, object], changed: str) -> None:
    text = f"top:\n  {line}\n  other: {{size: 3}}\n"
    after = own_lines.with_settings(text, "top", "a", settings)
    assert after == text.replace(line, changed)
    known = yaml.safe_load(text)["top"]
    assert yaml.safe_load(after)["top"] == {**known, "a": {**known["a"], **settings}}


@pytest.mark.parametrize(
    ("name", "content", "reader"),
    [
        ("list.txt", "a/1.jpg\n/b/2.PNG\n# c\n", "picture_list"),
        ("corpus.txt", "The picture is cat.jpg\nand then\nmore\n", "text"),
        ("empty.txt", "", "text"),
        ("corpus.txt.gz", "a.jpg\n", "text"),
        ("train-00000.parquet", "", "parquet"),
        ("a-000.tar", "", "webdataset"),
        ("a.zip", "", None),
    ],
)
def test_a_file_is_recognised_by_its_suffix_and_a_list_by_its_lines(
    tmp_path: Path, name: str, content: str, reader: str | None
) -> None:
    (tmp_path / name).write_text(content)
    assert reader_of(tmp_path / name) == reader


def test_of_a_single_video_its_folder_is_asked_for(root: Path) -> None:
    (root.parent / "a.mp4").touch()
    with pytest.raises(ParameterError, match=r"a\.mp4: no reader reads such a file; .* Of a video, name its folder\.$"):
        select_data(root, str(root.parent / "a.mp4"))


def test_folders_of_tables_and_tars_and_patterns_are_found(root: Path) -> None:
    for name in ("set/data/train.parquet", "set/README.md", "tars/a-000.tar", "tars/a-001.tar"):
        (root.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (root.parent / name).touch()
    assert reader_of(root.parent / "set") == "parquet"
    assert reader_of(root.parent / "tars") == "webdataset"
    pattern = (root.parent / "tars" / "a-{000..001}.tar").as_posix()
    assert select_data(root, pattern) == "a"
    assert (block(root)["reader"], block(root)["source"]) == ("webdataset", pattern)
    with pytest.raises(ParameterError, match=r"this is neither a data set.* a file: there is no .*/tars/b-000\.tar\."):
        select_data(root, str(root.parent / "tars" / "b-{000..001}.tar"))
    with pytest.raises(ParameterError, match="this is neither a data set"):
        select_data(root, str(root.parent / "tars" / "a-{1..0}.tar"))


@pytest.mark.parametrize(
    ("pattern", "made", "reader"),
    [
        ("x-{0..1}.parquet", ("x-0.parquet", "x-1.parquet"), "parquet"),
        ("{a,b}/x.tar", ("a/x.tar", "b/x.tar"), "webdataset"),
        ("x-{a.tar,b.tar}", ("x-a.tar", "x-b.tar"), "webdataset"),
        ("x-{0..1}.txt", ("x-0.txt", "x-1.txt"), None),
        ("x-{0..1}", ("x-0/a.jpg", "x-1/a.jpg"), None),
    ],
)
def test_a_pattern_is_one_wherever_its_braces_are_and_only_of_what_can_be_read_so(
    root: Path, pattern: str, made: tuple[str, ...], reader: str | None
) -> None:
    for name in made:
        (root.parent / name).parent.mkdir(exist_ok=True)
        (root.parent / name).touch()
    assert reader_of(root.parent / pattern) == reader
    if reader is None:
        with pytest.raises(ParameterError, match="no reader reads such a file"):
            select_data(root, str(root.parent / pattern))
        return
    name = select_data(root, str(root.parent / pattern))
    (root.parent / made[1]).unlink()
    with pytest.raises(ParameterError, match=rf"datasets\.{name}\.source: there is no '?{root.parent / made[1]}"):
        check_parameters(read(root), root)


@pytest.mark.parametrize(
    ("file", "name"), [("no.parquet", "images_no"), ("2021.tar", "images_2021"), ("On.txt", "images_on")]
)
def test_a_name_is_one_that_yaml_takes_for_a_text(tmp_path, file, name):
    assert own_data.new_name(tmp_path / file, lambda _: False) == name
