"""Labels of tables of numbers: how they are read and numbered, and how each class is drawn for both splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.datasets import vectors
from ssl_models.datasets._vectors import classes
from tests.ssl_models.tables import saved, table, written

torch.set_num_threads(1)


def test_labels_of_an_archive_are_whole_numbers_or_text(tmp_path: Path) -> None:
    x = np.arange(30.0)[:, None]
    given = np.arange(30) % 3
    kinds = (given * 5, given * 5.0, np.array(["c0", "c5", "c10"])[given], np.array([b"a", b"b", b"c"])[given][:, None])
    names = (("0", "5", "10"), ("0", "5", "10"), ("c0", "c10", "c5"), ("a", "b", "c"))
    for labels, expected in zip(kinds, names, strict=True):
        source = saved(tmp_path / "x.npz", vectors=x, labels=labels, other=x)
        data = vectors.load(seed=0, source=source, standardise=False)
        assert data.classes == expected
        assert data.what == "30 rows of 1 number, as they are; 3 classes"
        for split in (data.train, data.test):
            assert split.labels is not None
            assert split.labels.dtype == torch.int64
            rows = split.parts["vectors"][:, 0].long()
            texts = [str(label.decode() if isinstance(label, bytes) else label) for label in labels.ravel()]
            assert [expected[label] for label in split.labels] == [texts[row].removesuffix(".0") for row in rows]
    by_name = saved(tmp_path / "y.npz", x=x, digit=given)
    assert vectors.load(seed=0, source=by_name, labels="digit").classes == ("0", "1", "2")


def test_each_class_is_drawn_for_both_splits(tmp_path: Path) -> None:
    labels = np.array([0] * 94 + [1] * 3 + [2] * 2 + [3])
    source = saved(tmp_path / "x.npz", x=table(100), labels=labels)
    for seed in range(3):
        data = vectors.load(seed=seed, source=source)
        assert data.train.labels is not None
        assert data.test.labels is not None
        assert torch.bincount(data.train.labels).tolist() == [75, 2, 1, 1]
        assert torch.bincount(data.test.labels).tolist() == [19, 1, 1]


def test_a_column_of_a_csv_is_the_label(tmp_path: Path) -> None:
    lines = [f"{value},{'odd' if value % 2 else ' even '},{value**2}" for value in range(20)]
    source = written(tmp_path / "x.csv", "\n".join(["a, kind ,b", *lines]))
    data = vectors.load(seed=0, source=source, labels="kind", standardise=False)
    assert data.classes == ("even", "odd")
    for split in (data.train, data.test):
        assert split.labels is not None
        assert (split.parts["vectors"][:, 0] % 2 == split.labels).all()
        assert (split.parts["vectors"][:, 1] == split.parts["vectors"][:, 0] ** 2).all()


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    lines = [f"{value},{['', '1.0', '2'][value % 3]}" for value in range(12)]
    data = vectors.load(seed=0, source=written(tmp_path / "x.csv", "\n".join(["a,y", *lines])), labels="y")
    assert data.classes == ("1", "2")
    assert len(data.train) + len(data.test) == 8
    assert data.skipped == ("x.csv: 4 of 12 rows with no label, the first line 2",)


@pytest.mark.parametrize(
    ("labels", "ids", "names"),
    [
        (["10", "9", "9", "-1"], [2, 1, 1, 0], ("-1", "9", "10")),
        (["b", "a", "", "b"], [1, 0, -1, 1], ("a", "b")),
        ([1.0, np.nan, 0.0, 0.0], [1, -1, 0, 0], ("0", "1")),
        ([True, False, True, True], [1, 0, 1, 1], ("0", "1")),
        (["1", "x", "x", "x"], [0, 1, 1, 1], ("1", "x")),
        ([2**60, 2**60 + 1, 2**60], [0, 1, 0], (str(2**60), str(2**60 + 1))),
    ],
)
def test_labels_are_numbered_by_size_or_alphabet(labels: list[Any], ids: list[int], names: tuple[str, ...]) -> None:
    found, named = classes.numbered(np.array(labels))
    assert (found.tolist(), named) == (ids, names)
