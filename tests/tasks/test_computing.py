"""What a training takes from the machine: a batch that is found once, noted, and told to all processes."""

import json
import os
from types import SimpleNamespace

import pytest
import torch
import yaml

from tasks.checks.dry_run import check_stages
from tasks.process import files
from tasks.project.project import Project
from tasks.settings.machine import MACHINE
from tasks.settings.params import training_fields
from tasks.settings.schema import ParameterError, check_block
from tasks.stage import torchrun
from tasks.training import computing, train
from tests.tasks import test_dry_run
from tests.tasks.test_torchrun import context_of, pretrain, root  # noqa: F401

MEMORY = 10**9


@pytest.fixture
def searches(monkeypatch):
    """Counts the searches for a batch; each has one gigabyte."""
    found, largest = [], computing.largest

    def counted(*arguments, **options):
        found.append(options)
        return largest(*arguments, **options)

    monkeypatch.setattr(computing, "largest", counted)
    monkeypatch.setattr(computing, "memory_of", lambda _: MEMORY)
    return found


def test_a_batch_is_found_once_and_stands_in_the_record(root, searches, capsys):  # noqa: F811
    context = context_of(root, "pirl", batch_size="auto")
    pretrain(context, "pirl")
    summary = files.read_json(context.places.metric("pirl", "training.json"))
    assert (summary["batch_size"], summary["steps"]) == (8, 8)  # 32 samples, a quarter of which is 8
    assert files.read_json(context.work / computing.CHOSEN) == {"batch_size": 8}
    assert "batch_size auto: 8, the largest power of two that fits on this cpu" in capsys.readouterr().out
    files.write_json(context.work / computing.CHOSEN, {"batch_size": 16})  # as a machine with more memory had it
    (context.work / torchrun.CHECKPOINT).unlink()
    pretrain(context, "pirl")
    assert files.read_json(context.places.metric("pirl", "training.json"))["batch_size"] == 16
    assert len(searches) == 1


def test_processes_that_train_together_are_told_the_batch_as_a_number(root, searches, monkeypatch):  # noqa: F811
    told = []

    def asked(context):
        told.append(json.loads(json.dumps(context.parameters)))
        raise RuntimeError("far enough")

    monkeypatch.setattr(torchrun, "train", asked)
    context = context_of(root, "pirl", processes=2, batch_size="auto")
    context.parameters["pretrain"]["pirl"]["batch_size"] = "auto"
    with pytest.raises(RuntimeError, match="far enough"):
        pretrain(context, "pirl")
    assert told[0]["training"]["batch_size"] == 8
    assert "batch_size" not in told[0]["pretrain"]["pirl"]
    assert searches[0]["processes"] == 2


def test_without_auto_nothing_is_searched_and_nothing_is_added(root, searches):  # noqa: F811
    context = context_of(root, "pirl")
    pretrain(context, "pirl")
    summary = files.read_json(context.places.metric("pirl", "training.json"))
    assert not {"batch_size", "chunk", "compiled"} & summary.keys()
    assert not searches


def test_a_chunk_is_told_with_what_it_changes(root, capsys):  # noqa: F811
    context = context_of(root, "pirl")
    context.parameters["machine"]["chunk"] = 8
    pretrain(context, "pirl")
    assert files.read_json(context.places.metric("pirl", "training.json"))["chunk"] == 8
    assert "machine.chunk 8: batch normalisation takes its statistics of a chunk" in capsys.readouterr().out


def test_the_block_machine_reaches_the_training(monkeypatch, root):  # noqa: F811
    seen = {}

    def noted(*_, **options):
        seen.update(options)
        raise RuntimeError("far enough")

    monkeypatch.setattr(train, "Training", noted)
    context = context_of(root, "pirl")
    context.parameters["machine"] |= {"chunk": 8, "channels_last": False, "compile": "auto"}
    with pytest.raises(RuntimeError, match="far enough"):
        pretrain(context, "pirl")
    assert (seen["chunk"], seen["channels_last"], seen["compiled"]) == (8, False, "auto")


@pytest.mark.parametrize(
    ("limit", "machine", "share"),
    [("max", {"threads": 1}, 250), ("400", {"threads": 1}, 100), ("400", {"threads": 8}, 400)],
)
def test_a_stage_has_the_share_of_memory_that_it_has_of_the_cores(tmp_path, monkeypatch, limit, machine, share):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(computing, "LIMIT", tmp_path / "memory.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5, 7}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(computing.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 1000}))
    assert computing.memory_of(machine) == share


GPU = torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    """A search on a GPU that holds 400 MB of samples: it tries batches of 8 and 512, and 8 is found."""
    seen = {"parts": []}
    monkeypatch.setattr("ssl_models.hardware.pick_device", lambda: GPU)
    monkeypatch.setattr(computing.feeding, "room", lambda device: 400 * 10**6 if device == GPU else 0)
    monkeypatch.setattr(computing, "Training", lambda _, parts, own, **__: (len(parts[0]), own.batch_size, own.epochs))

    def largest(trial, samples, _, *, held, **__):
        seen.update(samples=samples, held=held, trials=[trial(8), trial(512)])
        return 8

    monkeypatch.setattr(computing, "largest", largest)
    return seen


@pytest.mark.parametrize(
    ("samples", "side", "held", "trials"),
    [
        (10_000, 32, (10_000 - 4096) * 3 * 32**2, 4096),
        (1900, 258, (1900 - 336) * 3 * 258**2, 336),  # 379 MB
        (2100, 258, 0, 336),  # 419 MB stay in their file
        (10**6, 258, 0, 336),  # 200 GB
    ],
)
def test_samples_beside_a_trial_take_what_the_training_will_hold_of_them(tmp_path, gpu, samples, side, held, trials):
    picture = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    machine = {"threads": 1, "precision": "float32"}
    context = SimpleNamespace(work=tmp_path, parameters={"machine": machine})
    settings = computing.Settings(epochs=1, batch_size=2)
    found = computing.found_batch(context, settings, object(), lambda most: [picture.expand(most, -1, -1, -1)], samples)
    assert (found, gpu["samples"], gpu["held"]) == (8, samples, held)
    assert gpu["trials"] == [(trials, 8, 2), (max(trials, 512), 512, 2)]


BAD = [
    ({"batch_size": "large"}, training_fields, "x.batch_size: 'large' is not of type int, nor the word 'auto'"),
    ({"batch_size": 0}, training_fields, "x.batch_size is 0; it must be at least 1"),
    ({"channels_last": "sometimes"}, dict, "x.channels_last: 'sometimes' is not of type bool, nor the word 'auto'"),
    ({"compile": 1}, dict, "x.compile: 1 is not of type bool | str"),
    ({"chunk": -1}, dict, "x.chunk is -1; it must be at least 0"),
]


@pytest.mark.parametrize(("block", "fields", "words"), BAD)
def test_a_word_that_is_none_is_refused(block, fields, words):
    allowed = fields() or {name: field for name, field in MACHINE.items() if not field.required}
    with pytest.raises(ParameterError) as found:
        check_block(block, allowed, "x")
    assert words in str(found.value)


def test_auto_and_on_and_off_are_settings():
    optional = {name: field for name, field in MACHINE.items() if not field.required}
    check_block(yaml.safe_load("{chunk: 64, channels_last: on, compile: off, processes: 2}"), optional, "machine")
    check_block({"channels_last": "auto", "compile": "auto"}, optional, "machine")


def test_a_look_before_the_start_takes_auto_and_refuses_a_chunk_of_one_row(tmp_path):
    found = test_dry_run.parameters()
    found["training"]["batch_size"] = "auto"
    check_stages(Project.given(tmp_path, found), ["prepare", "pretrain@simclr"])
    found["machine"]["chunk"] = 1
    with pytest.raises(ParameterError, match=r"pretrain\.simclr: machine\.chunk is 1; it must be at least 2 where"):
        check_stages(Project.given(tmp_path, found), ["prepare", "pretrain@simclr"])
