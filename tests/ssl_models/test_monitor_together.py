"""A training in two processes: the first measures what one process would, and the other one waits."""

import multiprocessing
import os
import socket

import pytest
import torch

from ssl_models.parallel import processes
from tests.ssl_models.test_monitor import monitor, trained
from tests.ssl_models.test_trainer import Keeper


def left(watched):
    """The epochs that an observer is told of, and the weights; measured after the last epoch, whatever it takes."""
    keeper, own = Keeper(), monitor() if watched else None
    if own:
        own.due = lambda _encoder, epoch, epochs, _trained_on: epoch == epochs
    state = trained("simclr", own, keeper, chunk=4)
    return keeper.epochs, state


def as_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    with processes.joining():
        torch.save((left(True), left(False)[1]), folder / f"rank{rank}")


def test_the_first_of_two_processes_measures_and_the_weights_stay_those_without(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torch._dynamo", __name__])
    ranks = [server.Process(target=as_rank, args=(n, port, tmp_path), daemon=True) for n in (0, 1)]
    for process in ranks:
        process.start()
    alone, _ = left(True)
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    ((first, watched), unwatched), ((second, other), _) = (torch.load(tmp_path / f"rank{n}") for n in (0, 1))
    assert second == []
    for name in ("probe_top1", "rankme", "deviation"):
        assert first[-1][1][name] == pytest.approx(alone[-1][1][name], rel=0.05, abs=0.1)
    assert all(torch.equal(value, unwatched[name]) for name, value in watched.items())
    assert all(torch.equal(value, other[name]) for name, value in watched.items())
