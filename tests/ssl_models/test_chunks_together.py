"""Chunks in two processes: each takes its share of a chunk, and the training is that of the whole batch in one."""

import multiprocessing
import os
import socket

import pytest
import torch

from ssl_models.chunks import _Region
from ssl_models.parallel import processes
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_chunks import made
from tests.ssl_models.test_trainer import images


def weights(chunk):
    """Of a contrastive method after an epoch, in float64; group normalisation has no statistics across the batch."""
    method = made("simclr")
    views = method.views
    method.views = lambda *given: tuple(view.double() for view in views(*given))
    Training(method, images(), Settings(epochs=1, batch_size=16, learning_rate=0.05), seed=5, chunk=chunk).run()
    return {name: value.clone() for name, value in method.state_dict().items()}


def as_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    with processes.joining():
        found = weights(3)
        torch.save(found, folder / f"rank{rank}")


def test_two_processes_in_chunks_train_as_one_with_the_whole_batch(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torch._dynamo", __name__])
    ranks = [server.Process(target=as_rank, args=(n, port, tmp_path), daemon=True) for n in (0, 1)]
    for process in ranks:
        process.start()
    expected = weights(0)
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    for rank in (0, 1):
        found = torch.load(tmp_path / f"rank{rank}")
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("world", "rows", "batch", "lengths"),
    [
        (1, 5, 16, [4, 4, 4, 4]),
        (1, 5, 7, [4, 3]),
        (1, 8, 8, [8]),
        (2, 3, 32, [6, 6, 6, 6, 4, 4]),
        (2, 3, 15, [5, 5, 5]),  # which ranks cannot share, and all compute
        (3, 100, 9, [9]),
    ],
)
def test_chunks_are_of_equal_sizes_that_processes_can_share(monkeypatch, world, rows, batch, lengths):
    monkeypatch.setattr("ssl_models.chunks.world", lambda: world)
    assert _Region(rows).lengths(batch) == lengths
