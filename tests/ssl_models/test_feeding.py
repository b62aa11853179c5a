"""Batches are the same from memory and from files; a thread reads ahead, tells its errors, and ends."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_models import feeding
from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.extraction import extract_features
from ssl_models.feeding import batches, held, slices
from ssl_models.methods.rotation import Rotation
from ssl_models.methods.simclr import SimCLR
from ssl_models.parallel import processes
from ssl_models.protocols._common.adaptation import blocks, outputs
from ssl_models.rows import Rows, middle, open_rows
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_trainer import Keeper

CPU = torch.device("cpu")
PICTURES = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
ORDER = [torch.tensor([5, 39, 0]), torch.tensor([7, 7, 21]), torch.tensor([2])]


@pytest.fixture
def stored(tmp_path: Path) -> Rows:
    np.save(tmp_path / "rows.npy", PICTURES)
    found = open_rows(tmp_path / "rows.npy")
    assert isinstance(found, Rows)
    return found


@pytest.fixture
def nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "LARGEST", 0)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rows")]


def sources(stored: Rows, folder: Path) -> dict[str, feeding.Source]:
    mapped = np.load(folder / "rows.npy", mmap_mode="r")
    return {"file": stored, "map": mapped, "array": PICTURES, "tensor": torch.from_numpy(PICTURES)}


@pytest.mark.parametrize("kind", ["file", "map", "array", "tensor"])
def test_batches_are_the_samples_of_the_index(stored: Rows, tmp_path: Path, kind: str) -> None:
    part, whole = sources(stored, tmp_path)[kind], torch.from_numpy(PICTURES)
    for (index, (batch,)), expected in zip(batches([part], ORDER, CPU), ORDER, strict=True):
        assert index is expected
        assert torch.equal(batch, whole[expected])
        assert batch.is_contiguous()
    found = [batch for _, (batch,) in batches([part], slices(40, 16), CPU)]
    assert [len(batch) for batch in found] == [16, 16, 8]
    assert torch.equal(torch.cat(found), whole)


@pytest.mark.parametrize("kind", ["file", "map", "array"])
def test_held_are_the_same_samples(stored: Rows, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "BLOCK", 7 * 768)
    (whole,) = held([sources(stored, tmp_path)[kind]], CPU)
    assert isinstance(whole, Tensor)
    assert torch.equal(whole, torch.from_numpy(PICTURES))


@pytest.mark.usefixtures("nothing_fits")
def test_what_does_not_fit_stays_in_its_file(stored: Rows, tmp_path: Path) -> None:
    given = sources(stored, tmp_path)
    file, mapped, array, tensor = held(list(given.values()), CPU)
    assert file is stored
    assert mapped is given["map"]
    assert isinstance(array, Tensor)
    assert tensor is given["tensor"]


def test_parts_are_held_all_or_none(stored: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "LARGEST", PICTURES.nbytes + 10)
    assert isinstance(held([stored], CPU)[0], Tensor)
    assert held([stored, stored], CPU) == [stored, stored]


class Watched:
    """Samples whose reading is seen, and fails at the third batch if so told."""

    shape, nbytes = (40,), 0

    def __init__(self, *, fails: bool = False) -> None:
        self.read = [threading.Event() for _ in ORDER]
        self.by: set[str] = set()
        self.fails = fails

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        self.by.add(threading.current_thread().name)
        number = next(number for number, event in enumerate(self.read) if not event.is_set())
        self.read[number].set()
        if self.fails and number == 2:
            raise OSError("the disk has gone")
        return np.zeros(len(index), np.float32)


def test_the_next_batch_is_read_while_one_is_worked_on() -> None:
    watched = Watched()
    for number, _ in enumerate(batches([watched], ORDER, CPU)):
        if number + 1 < len(ORDER):
            assert watched.read[number + 1].wait(timeout=20)
        if number + 2 < len(ORDER):
            assert not watched.read[number + 2].is_set()
    assert watched.by == {"rows_0"}
    assert not readers()


def test_an_error_of_the_reader_comes_with_its_batch() -> None:
    taken = batches([Watched(fails=True)], ORDER, CPU)
    next(taken), next(taken)
    with pytest.raises(OSError, match="the disk has gone"):
        next(taken)
    assert not readers()


def test_a_reader_ends_with_who_takes_its_batches() -> None:
    taken = batches([Watched()], ORDER, CPU)
    next(taken)
    assert len(readers()) == 1
    taken.close()
    assert not readers()
    for _ in batches([Watched()], ORDER, CPU):
        break
    gc.collect()
    assert not readers()


def training(method: type, samples: feeding.Source, observer: Keeper, **shape: tuple[int, ...]) -> Training:
    torch.manual_seed(3)
    encoder = build_encoder("resnet", depth=10, width=4)
    settings = Settings(epochs=2, batch_size=16, warmup_epochs=0.5)
    data = DataSpec(40, {"images": shape.get("shape", (3, 16, 16))})
    return Training(method(encoder, data), samples, settings, seed=5, checkpoint_steps=1, observer=observer)


@pytest.mark.parametrize("method", [Rotation, SimCLR])
@pytest.mark.usefixtures("nothing_fits")
def test_a_training_from_a_file_ends_in_the_same_bytes(stored: Rows, method: type) -> None:
    """Stopped and resumed on its way, once in an epoch and once between two."""
    whole, streamed = Keeper(), Keeper()
    training(method, torch.from_numpy(PICTURES), whole).run()
    for stop in (1, 2, None):
        run = training(method, stored, streamed)
        assert run.parts == [stored]
        run.run(stop_after=stop)
        assert not readers()
    assert streamed.content == whole.content
    assert streamed.epochs == whole.epochs


def test_larger_pictures_are_trained_on_by_their_middle(stored: Rows) -> None:
    cut, whole = Keeper(), Keeper()
    training(Rotation, middle(stored, (3, 12, 12)), cut, shape=(3, 12, 12)).run()
    training(Rotation, torch.from_numpy(PICTURES[:, :, 2:14, 2:14].copy()), whole, shape=(3, 12, 12)).run()
    assert cut.content == whole.content


def test_features_and_outputs_from_a_file_are_the_same(stored: Rows) -> None:
    torch.manual_seed(0)
    encoder, whole = build_encoder("resnet", depth=10, width=4), torch.from_numpy(PICTURES)
    found, expected = (
        list(extract_features(encoder, {"images": part}, CPU, batch_size=16, size=32)) for part in (stored, whole)
    )
    assert len(found) == len(expected) == 3
    for batch, other in zip(found, expected, strict=True):
        assert all(torch.equal(batch[layer], other[layer]) for layer in other)
    answers = outputs(encoder, stored, precision="float32", batch_size=16)
    assert torch.equal(answers, outputs(encoder, PICTURES, precision="float32", batch_size=16))
    assert answers.shape == (40, encoder.dim)
    assert torch.equal(outputs(encoder, stored, precision="float32", kept=torch.float16), answers.half())
    places = [block for block, _ in blocks(encoder, stored, precision="float32", batch_size=16)]
    assert places == [slice(0, 16), slice(16, 32), slice(32, 40)]
    assert not readers()


def test_processes_compare_a_file_with_what_another_holds(stored: Rows) -> None:
    module = torch.nn.Linear(1, 1)
    told = processes.describe(module, [stored], CPU)
    assert told == processes.describe(module, [torch.from_numpy(PICTURES)], CPU)
    assert told != processes.describe(module, [torch.from_numpy(PICTURES[::-1].copy())[:39]], CPU)
