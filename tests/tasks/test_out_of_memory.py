"""Too little memory ends a stage at once, with what to change: raised here, in another process, or by the kernel."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import pytest
import torch
import yaml

from tasks.process import faults, memory_kills
from tasks.settings import memory_advice
from tasks.stage import torchrun
from tasks.staleness.dvc_errors import StageFailed
from tasks.staleness.reproduce import reproduce
from tests.tasks import tiny

PARAMETERS = {
    "machine": {"threads": 1},
    "training": {"batch_size": 256},
    "pretrain": {"simclr": {"method": "simclr"}, "wide": {"method": "simclr", "batch_size": 24}},
    "extract": {"size": 512},
    "transfer": {"finetune": {}, "linear": {}},
    "targets": {"cells": {"protocol": "detection", "batch_size": 8}},
}
FEWER = "run fewer stages at once (`covey run --jobs 1`)"
ADVICE = {
    "pretrain@simclr": "set machine.chunk: 64, which keeps the batch whole or lower training.batch_size (now 256)",
    "pretrain@wide": "set machine.chunk: 6, which keeps the batch whole or lower pretrain.wide.batch_size (now 24)",
    "extract@simclr": "lower extract.batch_size (now 512)",
    "transfer@simclr-finetune": "lower transfer.finetune.batch_size (now 128)",
    "transfer_target@simclr-cells": "lower targets.cells.batch_size (now 8)",
}


@pytest.mark.parametrize(("stage", "change"), ADVICE.items())
def test_the_advice_names_the_settings_of_this_stage_with_their_values(stage, change):
    assert memory_advice.advice(PARAMETERS, stage, on_gpu=True) == f"{change} in params.yaml"
    assert memory_advice.advice(PARAMETERS, stage) == f"{FEWER}, or {change} in params.yaml"


def test_a_chunk_that_is_set_is_lowered_first_and_a_stage_without_a_batch_runs_alone():
    chunked = PARAMETERS | {"machine": {"chunk": 32}}
    assert memory_advice.advice(chunked, "pretrain@simclr", on_gpu=True).startswith("lower machine.chunk (now 32) or ")
    assert memory_advice.advice(PARAMETERS, "transfer@simclr-linear") == FEWER
    assert memory_advice.advice({}, "prepare", on_gpu=True) == "end what else uses this GPU"


def _killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_of_a_pool_that_was_killed_is_out_of_memory(tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool, pytest.raises(BrokenProcessPool) as found:
        pool.submit(_killed).result()
    fault = faults.explain(found.value, tmp_path)
    assert fault.final
    assert fault.words.startswith("out of memory (A process in the process pool was terminated abruptly")


def test_an_error_that_was_made_of_one_for_want_of_memory_is_one(tmp_path):
    error = RuntimeError("CUDA error: compiling failed")
    assert not faults.explain(error, tmp_path).final
    error.__cause__ = torch.OutOfMemoryError("CUDA out of memory")
    assert faults.explain(error, tmp_path).final


def counter(tmp_path, monkeypatch, kills):
    monkeypatch.setattr(memory_kills, "COUNTERS", tmp_path / "vmstat")
    (tmp_path / "vmstat").write_text(f"pgfault 7\noom_kill {kills}\nx 9\n")


@pytest.mark.parametrize(("raised", "words"), [(True, "out of memory: the kernel"), (False, "killed from outside")])
def test_a_stage_killed_by_the_kernel_is_final_and_by_anyone_else_is_not(tmp_path, monkeypatch, raised, words):
    counter(tmp_path, monkeypatch, 3)
    assert memory_kills.count() == 3
    more = f"sed -i s/kill.3/kill\\ 4/ {tmp_path}/vmstat; " if raised else ""
    root = tiny.make(tmp_path / "project")
    stages = yaml.safe_load((root / "dvc.yaml").read_text())
    stages["stages"]["prepare"]["cmd"] = f"{more}kill -9 $$"
    (root / "dvc.yaml").write_text(yaml.safe_dump(stages))
    with pytest.raises(StageFailed) as found:
        reproduce(tiny.project(root), "prepare")
    assert found.value.final is raised
    assert f"error: prepare: {words}" in found.value.tail


def test_a_process_of_a_training_that_the_kernel_has_killed_is_out_of_memory(tmp_path):
    assert isinstance(torchrun._reason(tmp_path, 137, short=True), MemoryError)
    assert isinstance(torchrun._reason(tmp_path, 137, short=False), RuntimeError)
    assert not isinstance(torchrun._reason(tmp_path, 1, short=True), MemoryError)


def test_where_nothing_counts_kills_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_kills, "COUNTERS", tmp_path / "none")
    assert memory_kills.count() == 0
