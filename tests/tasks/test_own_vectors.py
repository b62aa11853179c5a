"""Tables of numbers of one's own on the command line: a file is data, and a folder of such files is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.settings import data_kinds, own_data, readers
from tasks.settings.own_data import Options
from tasks.settings.recognised import reader_of
from tasks.settings.schema import ParameterError


@pytest.mark.parametrize("name", ["x.npy", "X.NPZ", "my table.csv", "a.b.csv"])
def test_a_file_of_numbers_is_read_as_vectors(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a\n1\n2\n")
    assert reader_of(tmp_path / name) == "vectors"
    assert own_data.reader(tmp_path / name, name) == "vectors"
    assert data_kinds.of_reader("vectors") == data_kinds.of_reader("world_points") == "density"


@pytest.mark.parametrize("name", ["x.csv.gz", "x.pkl", ".hidden.npy", "x.tsv", "x-{0..1}.npy"])
def test_other_files_and_patterns_are_not(tmp_path: Path, name: str) -> None:
    for part in (name, name.replace("{0..1}", "0"), name.replace("{0..1}", "1")):
        (tmp_path / part).touch()
    if "{" in name:
        (tmp_path / name).unlink()
    assert reader_of(tmp_path / name) is None
    with pytest.raises(ParameterError, match=r"or a table of numbers \(\.npy, \.npz, \.csv\)\. Of a video"):
        own_data.reader(tmp_path / name, name)


def test_a_table_in_a_folder_does_not_say_what_the_folder_is(tmp_path: Path) -> None:
    for name in ("labels.csv", "more.npy", "x.npz"):
        (tmp_path / name).touch()
    assert reader_of(tmp_path) == "folder"
    (tmp_path / "a.wav").touch()
    assert reader_of(tmp_path) == "sound_folder"


def test_tables_of_labels_and_groups_stay_files_and_a_column_stays_a_name(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").touch()
    options = Options(labels=str(tmp_path / "mine.csv"), group=str(tmp_path / "mine.csv"))
    assert options.settings(tmp_path) == {"labels": "mine.csv", "group": "mine.csv"}
    photos = {"name": "photos", "reader": "folder", "source": "photos", "labels": "mine.csv", "group": "mine.csv"}
    found = readers.settings_of(tmp_path, photos, "load")
    assert (found["labels"], found["group"]) == (str(tmp_path / "mine.csv"), str(tmp_path / "mine.csv"))
    own = {"name": "numbers", "reader": "vectors", "source": "x.csv", "labels": "kind"}
    assert readers.settings_of(tmp_path, own, "load") == {
        "seed": 0,
        "source": str(tmp_path / "x.csv"),
        "labels": "kind",
    }
