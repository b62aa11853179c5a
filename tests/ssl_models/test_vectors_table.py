"""The reader of one's own tables of numbers: splits, scaling, binary tables, CSV, and what is told beforehand."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.datasets import vectors
from ssl_models.datasets._vectors import numbers
from tests.ssl_models.tables import both, by_rows, saved, table, written

torch.set_num_threads(1)


# Splits and scaling


def test_real_numbers_are_standardised_by_the_training_split(tmp_path: Path) -> None:
    x = table()
    data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", x))
    assert vectors.KIND == "density"
    train = data.train.parts["vectors"]
    assert train.dtype == torch.float32
    assert (len(data.train), len(data.test)) == (40, 10)
    assert train.double().mean(0).numpy() == pytest.approx(0, abs=1e-6)
    assert train.double().std(0, correction=0).numpy() == pytest.approx(1, abs=1e-6)
    known = data.known
    assert json.loads(json.dumps(known)) == known
    assert known == {
        "binary": False,
        "mean": [0.0] * 3,
        "deviation": [1.0] * 3,
        "original_mean": known["original_mean"],
        "original_deviation": known["original_deviation"],
    }
    back = both(data) * known["original_deviation"] + known["original_mean"]
    assert by_rows(back) == pytest.approx(by_rows(x), abs=1e-5)
    assert data.what == "50 rows of 3 numbers, standardised"


def test_a_large_shift_does_not_cost_precision(tmp_path: Path) -> None:
    """float32 tells steps of 128 near 2e9."""
    x = 2e9 + table(40, 2)
    data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", x))
    back = both(data) * data.known["original_deviation"]
    assert np.ptp(back, 0) == pytest.approx(np.ptp(x, 0), rel=1e-4)


def test_the_numbers_may_stay_as_they_are(tmp_path: Path) -> None:
    x = table(30, 2)
    data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", x), standardise=False)
    assert (both(data) == by_rows(x.astype(np.float32))).all()
    train = data.train.parts["vectors"].double()
    assert data.known["mean"] == pytest.approx(train.mean(0).tolist(), abs=1e-5)
    assert data.known["deviation"] == pytest.approx(train.std(0, correction=0).tolist(), abs=1e-5)
    assert "original_mean" not in data.known


def test_scales_that_stay_far_from_1_are_noted(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    for factor, standardise, noted in ((1, False, False), (100, True, False), (100, False, True), (0.01, False, True)):
        source = saved(tmp_path / "x.npy", factor * x)
        notes = vectors.load(seed=0, source=source, standardise=standardise).notes
        assert any("leave `standardise` at true" in note for note in notes) == noted


def test_the_extent_holds_everything(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2000, 2)) * [1, 5]
    x[7, 1] = 60.0
    for standardise in (True, False):
        data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", x), standardise=standardise)
        every, deviation = both(data), data.known["deviation"]
        low, high = np.array(data.known["extent"]).T
        assert low == pytest.approx(np.minimum(data.known["mean"] - 4 * np.array(deviation), every.min(0) - deviation))
        assert high[1] == pytest.approx(every[:, 1].max() + deviation[1])
        assert high[0] == pytest.approx(max(data.known["mean"][0] + 4 * deviation[0], every[:, 0].max() + deviation[0]))
    assert "extent" not in vectors.load(seed=0, source=saved(tmp_path / "y.npy", table())).known
    one = vectors.load(seed=0, source=saved(tmp_path / "z.npy", x[:, :1])).known["extent"]
    assert len(one) == 1


def test_moments_in_blocks_are_those_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "BLOCK", 7)
    x, rows = table(31, 3), np.arange(0, 31, 2)
    found = numbers.moments(x, rows)
    assert found.mean == pytest.approx(x[rows].mean(0), rel=1e-12)
    assert found.deviation == pytest.approx(x[rows].std(0), rel=1e-12)
    assert (numbers.stored(x, rows, np.array([2, 0]), 1.0, 2.0) == ((x[rows][:, [2, 0]] - 1) / 2).astype("f4")).all()
    assert numbers.finite(x).all()


def test_the_seed_draws_the_test_rows_and_no_row_is_in_both(tmp_path: Path) -> None:
    source = saved(tmp_path / "x.npy", np.arange(200.0).reshape(100, 2))
    first, again, other = (vectors.load(seed=seed, source=source, standardise=False) for seed in (1, 1, 2))
    assert torch.equal(first.test.parts["vectors"], again.test.parts["vectors"])
    assert not torch.equal(first.test.parts["vectors"], other.test.parts["vectors"])
    assert both(first).tolist() == np.arange(200.0).reshape(100, 2).tolist()


@pytest.mark.parametrize("kind", ["int8", "uint64", "float16", ">f4", "float64"])
def test_every_type_of_real_number_becomes_float32(tmp_path: Path, kind: str) -> None:
    x = np.arange(2, 42).reshape(20, 2).astype(kind)
    data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", np.asfortranarray(x)), standardise=False)
    assert data.train.parts["vectors"].dtype == torch.float32
    assert (both(data) == by_rows(x.astype(np.float64))).all()


def test_columns_that_are_constant_are_left_out_and_named(tmp_path: Path) -> None:
    lines = [f"{value},7,{3 * value % 5},0.1" for value in range(20)]
    data = vectors.load(seed=0, source=written(tmp_path / "x.csv", "\n".join(["a,b,c,d", *lines])))
    assert data.train.parts["vectors"].shape == (16, 2)
    assert data.notes == ("2 of 4 columns are constant in the training split and left out: 'b', 'd'",)
    x = table(20, 30)
    x[:, 5:25] = 0.1 + np.arange(20)[:, None] % 2 * 1e-17
    data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", x))
    assert data.notes[0].endswith("left out: 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, and 10 more (counted from 0)")
    assert len(data.known["mean"]) == 10


# Binary tables


@pytest.mark.parametrize("kind", ["bool", "uint8", "float64"])
def test_a_table_of_0_and_1_is_binary_and_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    x = np.random.default_rng(0).random((60, 16)) < 0.3
    x[:, 0] = False
    data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", x.astype(kind)))
    assert (both(data) == by_rows(x.astype(float))).all()
    train = data.train.parts["vectors"]
    assert data.known == {
        "binary": True,
        "mean": pytest.approx(train.mean(0).tolist(), abs=1e-6),
        "deviation": pytest.approx(train.std(0, correction=0).tolist(), abs=1e-6),
        "grid": [4, 4],
    }
    assert data.notes == ()
    assert data.what == "60 rows of 16 numbers, of 0 and 1"


def test_binary_columns_that_are_no_square_have_no_grid_and_one_other_number_makes_reals(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(2, size=(60, 5)).astype(float)
    assert "grid" not in vectors.load(seed=0, source=saved(tmp_path / "x.npy", x)).known
    assert "extent" not in vectors.load(seed=0, source=saved(tmp_path / "x.npy", x[:, :2])).known
    x[59, 4] = 2
    assert not vectors.load(seed=0, source=saved(tmp_path / "x.npy", x)).known["binary"]
    x[59, 4] = np.nan
    data = vectors.load(seed=0, source=saved(tmp_path / "x.npy", x))
    assert (data.known["binary"], len(data.train) + len(data.test)) == (True, 59)


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_quotes_and_a_byte_order_mark_are_understood(tmp_path: Path, delimiter: str, end: str) -> None:
    lines = [delimiter.join(['"width, cm"', "b"]), *(delimiter.join([f'"{v}"', f" {v / 4} "]) for v in range(10)), ""]
    (tmp_path / "x.CSV").write_bytes(b"\xef\xbb\xbf" + end.join([*lines, delimiter, ""]).encode())
    data = vectors.load(seed=0, source=str(tmp_path / "x.CSV"), standardise=False)
    assert both(data).tolist() == [[v, v / 4] for v in range(10)]


@pytest.mark.parametrize("first", [0, 1])
def test_columns_may_be_called_by_their_numbers(tmp_path: Path, first: int) -> None:
    """As pandas writes a frame whose columns nobody has named."""
    buffer = io.StringIO()
    np.savetxt(buffer, table(9), delimiter=",", header=f"{first},{first + 1},{first + 2}", comments="")
    assert len(both(vectors.load(seed=0, source=written(tmp_path / "x.csv", buffer.getvalue())))) == 9


def test_many_rows_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = table(50).round(4)
    lines = ["a,b,c", *(",".join(map(str, row)) for row in x.tolist())]
    source = written(tmp_path / "x.csv", "\n".join(lines))
    whole = vectors.load(seed=0, source=source)
    monkeypatch.setattr("ssl_models.datasets._vectors.delimited.BLOCK", 7)
    parts = vectors.load(seed=0, source=source)
    assert torch.equal(whole.train.parts["vectors"], parts.train.parts["vectors"])
    assert whole.known == parts.known


# What is told beforehand


@pytest.mark.parametrize("settings", [{}, {"standardise": False}, {"test_fraction": 0.5}, {"labels": "y"}])
@pytest.mark.parametrize("kind", ["reals", "binary", "constant"])
def test_count_and_describe_say_what_load_gives(tmp_path: Path, settings: dict[str, Any], kind: str) -> None:
    x = {"reals": table(40, 2), "binary": table(40, 4) > 10, "constant": np.insert(table(40, 2), 1, 3, axis=1)}[kind]
    source = saved(tmp_path / "x.npz", vectors=x, y=np.arange(40) % 3)
    data = vectors.load(seed=2, source=source, **settings)
    assert vectors.count(seed=2, source=source, **settings) == (len(data.train), len(data.test))
    shapes, known = vectors.describe(seed=2, source=source, **settings)
    assert shapes == {"vectors": tuple(data.train.parts["vectors"].shape[1:])}
    assert known == data.known


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_of_a_large_table_the_first_rows_stand_for_all(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = table(1000).round(6)
    if suffix == ".npy":
        source = saved(tmp_path / "x.npy", x)
    else:
        lines = ["a,b,c", *(",".join(f"{number:.6f}" for number in row) for row in x)]
        source = written(tmp_path / "x.csv", "\n".join(lines))
    monkeypatch.setattr(vectors, "READ", 4096)
    seen, finite = [], numbers.finite
    monkeypatch.setattr(numbers, "finite", lambda given: (seen.append(len(given)), finite(given))[1])
    assert vectors.count(seed=0, source=source) == pytest.approx((800, 200), rel=0.03)
    shapes, known = vectors.describe(seed=0, source=source)
    assert max(seen) < 200
    data = vectors.load(seed=0, source=source)
    assert (len(data.train), len(data.test)) == (800, 200)
    assert shapes == {"vectors": (3,)}
    assert known.keys() == data.known.keys()
