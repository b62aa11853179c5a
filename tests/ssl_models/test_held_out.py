"""Training pictures held out in place of the test pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_models.datasets import cifar10, cifar100
from ssl_models.datasets._common.split import Dataset, Origin, Split
from ssl_models.datasets._known.held_out import counts, hold_out
from tests.ssl_models.test_cifar10 import png, write_archive


def numbered(samples: int, first: int = 0) -> Split:
    """Pictures of one value each, with labels, names and sizes that follow it."""
    numbers = torch.arange(first, first + samples)
    images = numbers.to(torch.uint8)[:, None, None, None].expand(samples, 3, 4, 4).clone()
    files = tuple(f"{number}.png" for number in numbers.tolist())
    return Split({"images": images}, numbers, origin=Origin(files, torch.stack([numbers, numbers], 1).int(), files))


def test_the_training_split_is_cut_in_two_and_the_test_split_is_not_looked_at() -> None:
    data = Dataset(numbered(20), numbered(10, first=100), tuple("abc"), notes=("kept",))
    found = hold_out(data, 0.25, seed=3)
    assert (len(found.train), len(found.test)) == (15, 5)
    assert sorted([*found.train.labels.tolist(), *found.test.labels.tolist()]) == list(range(20))
    assert found.notes == ("kept",)
    for split in (found.train, found.test):
        assert split.labels.tolist() == sorted(split.labels.tolist())
        assert torch.equal(split.images[:, 0, 0, 0].long(), split.labels)
        assert split.origin.files == split.origin.groups == tuple(f"{label}.png" for label in split.labels.tolist())
        assert torch.equal(split.origin.sizes[:, 0].long(), split.labels)
    again, other = hold_out(data, 0.25, seed=3), hold_out(data, 0.25, seed=4)
    assert torch.equal(found.test.labels, again.test.labels)
    assert not torch.equal(found.test.labels, other.test.labels)


def test_nothing_held_out_is_the_data_itself() -> None:
    data = Dataset(numbered(20), numbered(10))
    assert hold_out(data, 0.0, seed=3) is data


@pytest.mark.parametrize(("samples", "share", "expected"), [(20, 0.25, (15, 5)), (3, 0.01, (2, 1)), (3, 0.99, (1, 2))])
def test_at_least_one_picture_is_left_on_either_side(samples: int, share: float, expected: tuple[int, int]) -> None:
    assert counts(samples, share) == expected


@pytest.mark.parametrize("reader", [cifar10, cifar100])
def test_readers_hold_out_what_they_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Any) -> None:
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    name = reader.CIFAR.name
    shades = [(kind, shade) for kind in ("cat", "dog") for shade in range(1, 5)]
    members = {f"{name}/train/{kind}/{shade}.png": png(20 * shade) for kind, shade in shades}
    write_archive(tmp_path / f"{name}.tar.gz", members | {f"{name}/test/cat/a.png": png(255)})
    data = reader.load(seed=0, held_out=0.25)
    assert (len(data.train), len(data.test)) == reader.count(seed=0, held_out=0.25) == (6, 2)
    assert int(data.test.images.amax()) < 255
    assert reader.count(seed=0) == (8, 1)
    for wrong in (-0.1, 1.0, float("nan")):
        for function in (reader.load, reader.count):
            with pytest.raises(ValueError, match="it must be at least 0, and below 1"):
                function(seed=0, held_out=wrong)
