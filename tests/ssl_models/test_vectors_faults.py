"""Tables that cannot be read: each is refused with the name of its file and what is wrong with it."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.datasets import vectors

torch.set_num_threads(1)
X = np.arange(20.0).reshape(10, 2) + 2
CSV = "a,b\n" + "\n".join(f"{row},{row * row}" for row in range(2, 12)) + "\n"


def refused(source: Path, words: str, **settings: Any) -> None:
    """By all three functions, in the same words, with the file's name."""
    for function in (vectors.load, vectors.count, vectors.describe):
        with pytest.raises(ValueError, match=words) as caught:
            function(**{"seed": 0, "source": str(source), **settings})
        assert str(caught.value).startswith(f"'{source}': ")


def outcome(path: Path) -> str:
    """What is said of a file; empty where it is read."""
    try:
        vectors.load(seed=0, source=str(path))
    except ValueError as error:
        return str(error)
    return ""


def npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A .npy file whose header is this text."""
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode() + body


SHAPE = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n"


class Touches:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (X.astype(complex), "complex numbers; save their real and imaginary parts as columns"),
        (X.astype(str), "it holds text; save an array of numbers"),
        (X.astype(bytes), "it holds text"),
        (X.astype("M8[s]"), "it holds the type datetime64"),
        (np.zeros(5, [("a", "f4"), ("b", "i4")]), "it holds the type .*'a'"),
        (X[:, 0], r"it has the shape \(10,\), and vectors have two dimensions.*x\[:, None\]"),
        (np.float64(3), r"it has the shape \(\)"),
        (np.zeros((4, 3, 3)), r"it has the shape \(4, 3, 3\).*x\.reshape\(len\(x\), -1\) has one row a sample"),
        (np.zeros((0, 3)), r"it is empty: it has the shape \(0, 3\)"),
        (np.zeros((3, 0)), r"it is empty: it has the shape \(3, 0\)"),
        (X[:1], "it has one row; the training and the test split need one each"),
        (np.full((9, 2), 4.0), "every column is constant in the training split of 7 rows"),
        (np.zeros((9, 4)), "every column is constant"),
        (np.full((9, 2), np.nan), r"no row can be used: 9 of 9 rows with NaN or infinity, the first row 0"),
        (np.where(np.arange(20).reshape(10, 2) < 18, np.inf, X), "one row can be used: 9 of 10 rows with NaN or inf"),
    ],
)
def test_arrays_that_are_no_table_are_refused(tmp_path: Path, array: Any, words: str) -> None:
    np.save(tmp_path / "x.npy", array)
    refused(tmp_path / "x.npy", words)
    np.savez(tmp_path / "x.npz", vectors=array)
    refused(tmp_path / "x.npz", words)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "raw.npy", "raw.npz"])
def test_a_pickle_is_never_read(tmp_path: Path, name: str) -> None:
    path, bad = tmp_path / name, np.array([[Touches(tmp_path / "touched")]] * 3, object)
    if name.startswith("raw"):
        path.write_bytes(pickle.dumps(bad))
        words = r"does not begin as a \.npy" if name.endswith("npy") else r"no \.npz file that can be read"
    elif name == "x.npy":
        np.save(path, bad, allow_pickle=True)
        words = "it holds Python objects, that is a pickle"
    else:
        np.savez(path, vectors=X, labels=bad[:, 0])
        words = "its array `labels`: it holds Python objects"
    refused(path, words, **({"labels": "labels"} if name == "x.npz" else {}))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it does not begin as a .npy file does"),
        (b"a,b\n1,2\n", "it does not begin as a .npy file does; write it with numpy.save"),
        (
            npy(SHAPE.format("<f8", (10**12, 50))),
            r"tells the shape \(1000000000000, 50\) of float64, 400,000,.* 0 follow",
        ),
        (npy(SHAPE.format("<f8", (10**30, 10**30)), bytes(64)), "64 follow: it is cut off or damaged"),
        (npy(SHAPE.format("<f8", (-4, -2)), bytes(64)), r"its header is damaged: it tells the shape \(-4, -2\)"),
        (npy(SHAPE.format("<q9", (4, 2)), bytes(64)), "its header is damaged"),
        (npy("{'descr': (((", bytes(64)), "its header is damaged"),
        (npy("__import__('os').abort()\n"), "its header is damaged"),
        (npy(SHAPE.format("<f8", (4, 2)), bytes(64), b"\x03\x00"), r"a \.npy of version 3\.0"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    refused(tmp_path / "x.npy", words)


def test_every_shorter_file_and_every_other_byte_is_read_or_refused(tmp_path: Path) -> None:
    """With no error of another kind, and with the file's name."""
    np.save(tmp_path / "x.npy", X)
    np.savez_compressed(tmp_path / "x.npz", vectors=X, labels=np.arange(10) % 2)
    random = np.random.default_rng(0)
    for name in ("x.npy", "x.npz"):
        whole = (tmp_path / name).read_bytes()
        path = tmp_path / f"bad{name[-4:]}"
        for end in range(0, len(whole), 7):
            path.write_bytes(whole[:end])
            with pytest.raises(ValueError, match="bad"):
                vectors.load(seed=0, source=str(path))
        for place in range(0, len(whole), 3):
            changed = bytearray(whole)
            changed[place] = random.integers(256)
            path.write_bytes(changed)
            assert outcome(path) == "" or outcome(path).startswith(f"'{path}': ")


@pytest.mark.parametrize(
    ("arrays", "settings", "words"),
    [
        ({"a": X, "b": X}, {}, r"it holds 2 arrays \(a, b\), and none is called `vectors`; save one as"),
        ({"train": X, "test": X, "labels": X}, {}, r"it holds 3 arrays \(train, test, labels\), and none is"),
        ({"labels": np.arange(10)}, {}, "it holds 1 array .labels., and none is called `vectors`"),
        ({"x": X}, {"labels": "y"}, r"labels = 'y': it holds no such array, but 1 array \(x\)"),
        ({"x": X, "labels": np.arange(9)}, {}, r"`labels` has the shape \(9,\), and there are 10 vectors"),
        ({"x": X, "labels": np.eye(10)}, {}, r"`labels` has the shape \(10, 10\)"),
        ({"x": X, "labels": np.arange(10) / 3}, {}, "its labels hold 0.33.*; they must be whole numbers or text"),
        ({"x": X, "labels": np.arange(10)}, {}, "its labels are another one for each of 10 rows"),
        ({"x": X, "labels": np.zeros(10)}, {}, "its labels tell one class only, '0'"),
        ({"x": X, "labels": np.full(10, np.nan)}, {}, "its labels tell no class"),
        ({"x": X, "labels": np.full(10, np.inf)}, {}, "its labels hold inf"),
        ({"x": X, "labels": np.full(10, 1j)}, {}, "its labels are of the type complex128"),
    ],
)
def test_archives_without_vectors_or_with_other_labels_are_refused(
    tmp_path: Path, arrays: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    refused(tmp_path / "x.npz", words, **settings)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", vectors=np.zeros((1000, 100)))
    monkeypatch.setattr("ssl_models.datasets._common.files.MOST_BYTES", 100_000)
    refused(tmp_path / "x.npz", "its array `vectors`: it has 800,128 bytes, and at most 100,000 are read")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty; write a line of names"),
        ("\n \n", "it is empty"),
        ("a,b\n", "it has no row; the training and the test split need one each"),
        ("a,b\n1,2\n", "it has one row;"),
        ("1.5,2\n3,4\n5,6\n", "its first line holds numbers; write a line with the names"),
        ("a,b,a\n1,2,3\n4,5,6\n", "2 columns are called 'a'; rename them"),
        (",a\n0,2\n1,3\n", "column 1 of 2 has no name; name it, or take it away where it is an index"),
        ("a,b\n1,2\n3,cat\n", "line 3, column 'b': 'cat' is no number; `labels` may name a column of classes"),
        ("a;b\n1;2,5\n3;4,5\n", "line 2, column 'b': '2,5' is no number; save it with decimal points"),
        ("a,b\n1,5,2,5\n", "line 2: it has 4 values, and the line of names 2; where commas are decimal marks"),
        ("a,b\n1,2\n3\n", "line 3: it has 1 value, and the line of names 2; the file may be cut off there"),
        ('a,b\n1,2\n3,"4', "line 3: unexpected end of data; it is no CSV, or is cut off"),
        (
            "a,b\n,\n1,\n2,\n",
            "no row can be used: 2 of 2 rows with NaN, infinity or an empty cell, the first line 3, col",
        ),
        ("a,b\n1,1e400\n2,1\n", "one row can be used: 1 of 2 rows .* the first line 2, column 'b'"),
        ("a,b\n1,2\n1,2\n1,2\n", "every column is constant in the training split of 2 rows"),
    ],
)
def test_texts_that_are_no_table_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    refused(tmp_path / "x.csv", words)


def test_a_text_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("a,größe\n1,2\n3,4\n".encode("latin-1"))
    refused(tmp_path / "x.csv", "it is not UTF-8; save it as CSV in UTF-8")
    (tmp_path / "x.csv").write_bytes(CSV.encode("utf-16"))
    refused(tmp_path / "x.csv", "it is not UTF-8")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("kind", "labels = 'kind': no column is called so; the columns are: a, b"),
        ("/data/labels.csv", "labels = '/data/labels.csv': no column is called so"),
        ("b", "its labels are another one for each of 10 rows"),
    ],
)
def test_columns_of_labels_that_are_none_are_refused(tmp_path: Path, labels: str, words: str) -> None:
    (tmp_path / "x.csv").write_text(CSV)
    refused(tmp_path / "x.csv", words, labels=labels)
    (tmp_path / "y.csv").write_text("a\n1\n2\n")
    refused(tmp_path / "y.csv", "it has no column beside 'a', that of the labels", labels="a")


def test_an_array_has_no_column_of_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    refused(tmp_path / "x.npy", r"labels = 'a': a \.npy holds no labels; save a \.npz", labels="a")


def test_rows_that_are_not_finite_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    x = X.copy()
    x[3, 1], x[3, 0], x[7, 0] = np.nan, 1, 1e39  # float32 ends at 3.4e38
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.csv").write_text(CSV.replace("3,9\n", "3,NA\n").replace("5,25", ",inf"))
    told = {
        "x.npy": "2 of 10 rows with NaN or infinity, the first row 3 (counted from 0), column 1",
        "x.csv": "2 of 10 rows with NaN, infinity or an empty cell, the first line 3, column 'b'",
    }
    for name, words in told.items():
        data = vectors.load(seed=0, source=str(tmp_path / name))
        assert data.skipped == (f"{name}: {words}",)
        assert len(data.train) + len(data.test) == 8
        assert all(torch.isfinite(split.parts["vectors"]).all() for split in (data.train, data.test))
        refused(tmp_path / name, words.partition(" (")[0], unreadable="refuse")


def test_a_number_that_has_no_place_once_it_is_scaled_is_refused(tmp_path: Path) -> None:
    x = np.arange(20.0).reshape(10, 2) * 1e-30
    np.save(tmp_path / "x.npy", x)
    own = vectors.load(seed=0, source=str(tmp_path / "x.npy"), standardise=False)
    x[round(own.test.parts["vectors"][0, 0].item() / 2e-30), 0] = 1e30
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match=r"x\.npy': a number of it is over 3e38 deviations of the training split away"):
        vectors.load(seed=0, source=str(tmp_path / "x.npy"))


def test_what_is_no_file_of_numbers_is_refused(tmp_path: Path) -> None:
    for name in ("x.parquet", "x", "x.csv.gz", ".npy"):
        (tmp_path / name).write_bytes(b"x")
        refused(tmp_path / name, r"a table of numbers ends in one of \.csv, \.npy, \.npz")
    os.mkfifo(tmp_path / "pipe.csv")
    refused(tmp_path / "pipe.csv", "a pipe, not a file")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "a folder, not a file")
    (tmp_path / "link.npy").symlink_to(tmp_path / "gone.npy")
    refused(tmp_path / "link.npy", "a link to nothing")
    for function in (vectors.load, vectors.count, vectors.describe):
        with pytest.raises(FileNotFoundError, match=r"gone\.npy': there is no such file"):
            function(seed=0, source=str(tmp_path / "gone.npy"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"test_fraction": 0.0}, "test_fraction = 0.0 must lie between 0 and 1"),
        ({"test_fraction": 1.0}, "test_fraction = 1.0"),
        ({"unreadable": "ignore"}, "unreadable = 'ignore' must be skip or refuse"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    np.save(tmp_path / "x.npy", X)
    for function in (vectors.load, vectors.count, vectors.describe):
        with pytest.raises(ValueError, match=words):
            function(**{"seed": 0, "source": str(tmp_path / "x.npy"), **settings})
