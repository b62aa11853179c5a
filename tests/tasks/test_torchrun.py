"""A stage whose training runs in several processes: what one process would have left, and nobody left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import psutil
import pytest
import torch
from safetensors.torch import load_file

from ssl_models.trainer import TrainingDivergedError
from tasks.process import files
from tasks.project import paths
from tasks.project.project import Project
from tasks.stage import torchrun
from tasks.stage.context import Context
from tasks.tracking.journal import Journal
from tasks.training.train import train_encoder
from tests.ssl_models.clips import clips

ROOT = Path(__file__).parents[2]
PARAMETERS = {
    "seed": 1,
    "data": {"name": "noise"},
    "machine": {"threads": 1, "precision": "float32"},
    "encoder": {"name": "resnet", "depth": 10, "width": 4},
    "training": {"epochs": 2, "batch_size": 16, "optimizer": "sgd", "learning_rate": 0.1, "warmup_epochs": 0},
    "pretrain": {"pirl": {"method": "pirl", "negatives": 16}, "random": {"method": "random"}},
}
ON_CLIPS = {"tracked_patches": "resnet", "audio_visual": "two_tower"}
"""Methods on clips, and the encoder of each: of the first each process makes its own views, of the second all."""


class Noted:
    """A record that counts what it is told."""

    def __init__(self):
        self.steps = []

    def sync(self, journal):
        self.steps.append(len(journal.read()))


def context_of(root, run, processes=1, **training):
    work = Project.given(root, {}).work(f"pretrain@{run}", f"{processes}-{training}")
    work.mkdir(parents=True, exist_ok=True)
    parameters = json.loads(json.dumps(PARAMETERS))
    parameters["training"] |= training
    if processes > 1:
        parameters["machine"]["processes"] = processes
    return Context(Project.given(root, parameters), f"pretrain@{run}", work, Noted())


def pretrain(context, run):
    block = context.parameters["pretrain"][run]
    return train_encoder(context, run, block["method"], block)


def workers_of(folder):
    """The processes that run in a folder, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and "tasks.stage.torchrun" in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with 32 pictures; one thread, as a stage sets it, and no GPU, wherever this runs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("PET_NNODES", raising=False)
    folder = paths.Places(tmp_path, "noise").dataset
    folder.mkdir(parents=True)
    pictures = numpy.random.default_rng(0).integers(0, 256, (32, 3, 32, 32), dtype=numpy.uint8)
    numpy.save(folder / "train.images.npy", pictures)
    (folder / "dataset.json").write_text(json.dumps({"train": 32, "shapes": {"images": [3, 32, 32]}}))
    threads = torch.get_num_threads()
    torch.set_num_threads(PARAMETERS["machine"]["threads"])
    yield tmp_path
    torch.set_num_threads(threads)


def left(context, result, run):
    encoder = context.places.encoder(run)
    return (
        load_file(encoder / "encoder.safetensors"),
        files.read_json(context.places.metric(run, "training.json")),
        [entry.values["loss"] for entry in Journal(context.work / torchrun.JOURNAL).read()],
        sorted(result.summary),
        result.costs,
    )


class Here:
    """Stands for torchrun: a group of one process, which is this one."""

    def __init__(self, command, cwd, env):
        assert command[-5:] == ["--standalone", "--nproc-per-node", "2", "--module", "tasks.stage.torchrun"]
        group = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(cwd)
            for name, value in {**env, **group}.items():
                patch.setenv(name, value)
            torchrun._take_part()
        self.answers = [None, 0]

    def wait(self, timeout):
        if (answer := self.answers.pop(0)) is None:
            raise subprocess.TimeoutExpired("torchrun", timeout)
        return answer

    def poll(self):
        return 0


def test_what_the_processes_hand_over_is_what_the_stage_would_have_made(root, monkeypatch):
    alone = context_of(root, "pirl")
    weights, summary, losses, numbers, _ = left(alone, pretrain(alone, "pirl"), "pirl")
    context = context_of(root, "pirl", 2)
    monkeypatch.setattr(torchrun.subprocess, "Popen", Here)
    together = left(context, pretrain(context, "pirl"), "pirl")
    assert together[2] == losses
    assert all(torch.equal(together[0][name], value) for name, value in weights.items())
    assert together[1].pop("processes") == 1
    assert together[1] == summary
    assert set(together[4]) == {"training_seconds", "monitor_seconds", "samples_per_second", "peak_memory"}
    assert together[4].pop("monitor_seconds") == 0  # too short a training to be looked at
    assert all(cost > 0 for cost in together[4].values())
    assert together[3] == sorted([*numbers, "processes"])
    assert context.record.steps == [2]  # told of both epochs, and by the stage itself


@pytest.fixture
def clips_root(root):
    """In place of the pictures 32 clips with tracks and sound."""
    made = clips(32)
    parts = {name: made[name].numpy() for name in ("frames", "tracks", "sound", "source")}
    folder = paths.Places(root, "noise").dataset
    for name, part in parts.items():
        numpy.save(folder / f"train.{name}.npy", part)
    shapes = {name: part.shape[1:] for name, part in parts.items()}
    (folder / "dataset.json").write_text(json.dumps({"train": 32, "shapes": shapes}))
    return root


@pytest.mark.exhaustive
@pytest.mark.parametrize("method", ON_CLIPS)
def test_two_processes_learn_from_clips_what_one_learns(clips_root, monkeypatch, method):
    monkeypatch.setitem(PARAMETERS, "pretrain", {method: {"method": method}})
    monkeypatch.setitem(PARAMETERS, "encoder", {"name": ON_CLIPS[method], "depth": 10, "width": 4})
    alone, context = (context_of(clips_root, method, processes, learning_rate=0.01) for processes in (1, 2))
    weights, _, losses, _, _ = left(alone, pretrain(alone, method), method)
    together = left(context, pretrain(context, method), method)
    assert together[2] == pytest.approx(losses, rel=1e-3)
    for name, value in weights.items():
        torch.testing.assert_close(together[0][name], value, rtol=0.01, atol=0.01)
    assert together[1]["processes"] == 2


@pytest.mark.exhaustive
def test_two_processes_leave_what_one_leaves(root):
    alone = context_of(root, "pirl")
    weights, summary, losses, numbers, _ = left(alone, pretrain(alone, "pirl"), "pirl")
    context = context_of(root, "pirl", 2)
    together = left(context, pretrain(context, "pirl"), "pirl")
    assert together[2] == pytest.approx(losses, rel=1e-3)
    for name, value in weights.items():
        torch.testing.assert_close(together[0][name], value, rtol=0.01, atol=0.01)
    assert together[1]["processes"] == 2
    assert {**together[1], **summary}.keys() == together[1].keys()
    for name in ("chance", "steps", "views_seen", "samples_seen"):
        assert together[1][name] == summary[name]
    assert len(together[3]) == len(numbers) + 1
    assert not workers_of(root)


def test_what_is_not_trained_starts_no_processes(root, monkeypatch):
    monkeypatch.setattr(torchrun, "train", None)
    context = context_of(root, "random", 2)
    pretrain(context, "random")
    assert (context.places.encoder("random") / "encoder.safetensors").exists()


def test_a_batch_that_cannot_be_shared_starts_no_processes(root, monkeypatch):
    monkeypatch.setattr(torchrun, "train", None)
    with pytest.raises(ValueError, match="batch_size 16 cannot be shared equally by 3 processes"):
        pretrain(context_of(root, "pirl", 3), "pirl")


def test_more_processes_than_gpus_are_refused(root, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"machine.processes is 4, and this machine has 2 GPUs"):
        torchrun.train(context_of(root, "pirl", 4))


def test_what_failed_first_is_what_is_told(tmp_path):
    def note(rank, time, kind, words, final=False):
        content = {"rank": rank, "time": time, "kind": kind, "words": words, "final": final}
        files.write_json(tmp_path / f"error.{rank}.json", content)

    assert "exit code 1 without a message" in str(torchrun._reason(tmp_path, 1))
    note(0, 2.0, "RuntimeError", "Connection closed by peer")
    error = torchrun._reason(tmp_path, 1)
    assert str(error) == "process 0 of the training ended with RuntimeError: Connection closed by peer"
    note(1, 1.0, "TrainingDivergedError", "the loss is nan")
    assert isinstance(torchrun._reason(tmp_path, 1), TrainingDivergedError)
    note(2, 0.5, "NeedsTruth", "shuffle_groups is 9", final=True)
    error = torchrun._reason(tmp_path, 1)
    assert (type(error), str(error)) == (ValueError, "shuffle_groups is 9")


def test_a_process_by_hand_says_who_starts_it(root):
    environment = {name: value for name, value in os.environ.items() if name != "RANK"}
    command = [sys.executable, "-m", "tasks.stage.torchrun"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is started by torchrun; to train, run the stage" in done.stderr


@pytest.mark.exhaustive
def test_a_loss_that_diverges_ends_all_processes_and_is_told_as_such(root):
    with pytest.raises(TrainingDivergedError, match="lower learning_rate"):
        pretrain(context_of(root, "pirl", 2, learning_rate=1e30), "pirl")
    assert not workers_of(root)


@pytest.mark.exhaustive
@pytest.mark.parametrize("victim", ["stage", "process"])
def test_no_process_outlives_another(root, victim):
    """Killed, the stage takes torchrun and the processes with it; a process takes the others, and the stage says so."""
    context = context_of(root, "pirl", 2, epochs=5000)
    text = (
        "import sys; from pathlib import Path; from tests.tasks.test_torchrun import *\n"
        "pretrain(context_of(Path.cwd(), 'pirl', 2, epochs=5000), 'pirl')\n"
    )
    stage = subprocess.Popen([sys.executable, "-c", text], cwd=root, stderr=subprocess.PIPE, text=True)
    wait_for((context.work / torchrun.CHECKPOINT).exists)
    agent_and_processes = workers_of(root)
    assert len(agent_and_processes) == 3
    if victim == "stage":
        stage.kill()
    else:
        os.kill(max(agent_and_processes), signal.SIGKILL)
    wait_for(lambda: not workers_of(root))
    words = stage.communicate(timeout=30)[1]
    assert ("of the training ended with" in words) == (victim == "process")
