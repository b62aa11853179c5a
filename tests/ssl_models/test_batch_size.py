"""The largest batch that fits: of powers of two, by what was measured, and the same for the same machine."""

from dataclasses import replace

import pytest
import torch

from ssl_models import batch_size
from ssl_models.batch_size import BESIDE, kept_bytes, largest, sizes
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_chunks import made
from tests.ssl_models.test_trainer import images

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def trial(size, chunk=0):
    return Training(made("rotation").float(), images(256), Settings(batch_size=size), seed=0, chunk=chunk)


@pytest.mark.parametrize(
    ("samples", "processes", "offered"),
    [
        (256, 1, [8, 16, 32, 64]),
        (100_000, 1, [8, 16, 32, 64, 128, 256, 512, 1024]),
        (400, 3, [12, 24, 48, 96]),
        (20, 1, [8]),
        (5, 1, [5]),
    ],
)
def test_powers_of_two_up_to_a_quarter_of_the_samples(samples, processes, offered):
    assert sizes(samples, processes) == offered


def test_what_a_sample_keeps_decides_on_a_cpu_and_a_chunk_keeps_less():
    a_sample = (kept_bytes(trial(16)) - kept_bytes(trial(8))) / 8
    assert a_sample > 4 * 8 * 8 * 16 * 16 * 4  # four turns of eight channels of floats, in several layers
    for size in (8, 16, 32, 64):
        assert largest(trial, 256, CPU, memory=int(BESIDE * a_sample * size * 1.01)) == size
    assert largest(trial, 256, CPU, memory=1) == 8
    assert kept_bytes(trial(16, chunk=8)) < kept_bytes(trial(16)) / 3


class Gpu:
    """A GPU of 100 bytes, on which a step takes a byte a sample."""

    def __init__(self, monkeypatch, most=10_000):
        self.tried, self.most = [], most
        monkeypatch.setattr(batch_size.torch.cuda, "get_device_properties", lambda _: self)
        monkeypatch.setattr(batch_size.torch.cuda, "reset_peak_memory_stats", lambda _: None)
        monkeypatch.setattr(batch_size.torch.cuda, "empty_cache", lambda: None)
        monkeypatch.setattr(batch_size.torch.cuda, "max_memory_reserved", lambda _: self.tried[-1])

    total_memory = 100

    def trial(self, size):
        self.tried.append(size)
        return self

    def run(self, stop_after):
        assert stop_after == 2
        if self.tried[-1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("most", "held", "found", "tried"),
    [(10_000, 0, 64, [8, 16, 32, 64, 128]), (20, 0, 16, [8, 16, 32]), (10_000, 60, 16, [8, 16, 32])],
)
def test_a_gpu_is_tried_until_it_is_full_or_nearly(monkeypatch, most, held, found, tried):
    gpu = Gpu(monkeypatch, most)
    assert largest(gpu.trial, 100_000, GPU, memory=0, held=held) == found
    assert gpu.tried == tried


def test_processes_share_a_batch_and_a_batch_that_never_fits_is_out_of_memory(monkeypatch):
    gpu = Gpu(monkeypatch)
    assert largest(gpu.trial, 100_000, GPU, memory=0, processes=2) == 128
    assert gpu.tried == [4, 8, 16, 32, 64, 128]
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory: batch_size auto fits no batch of 8"):
        largest(Gpu(monkeypatch, 4).trial, 100_000, GPU, memory=0)


def test_the_rate_follows_the_batch():
    settings = Settings(learning_rate=0.1, warmup_epochs=0, batch_size=128)
    for size, rate in ((128, 0.05), (64, 0.025)):
        training = Training(made("rotation").float(), images(256), replace(settings, batch_size=size), seed=0)
        assert training._set_rate() == pytest.approx(rate)
