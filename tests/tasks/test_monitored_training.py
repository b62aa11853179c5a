"""What a stage leaves of what was measured during its training: tables, records, costs, and a word on a collapse."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssl_models.monitor import Monitor
from tasks.process import files
from tasks.project.paths import Places
from tasks.project.project import Project
from tasks.stage import torchrun
from tasks.stage.context import Context
from tasks.tracking.journal import Journal
from tasks.training import curves
from tasks.training.recorder import Recorder
from tasks.training.train import train_encoder

PARAMETERS = {
    "seed": 1,
    "data": {"name": "noise"},
    "machine": {"threads": 1, "precision": "float32"},
    "encoder": {"name": "resnet", "depth": 10, "width": 4},
    "training": {"epochs": 2, "batch_size": 16, "optimizer": "sgd", "learning_rate": 0.1, "warmup_epochs": 0},
    "pretrain": {"rotation": {"method": "rotation"}, "random": {"method": "random"}},
}


class Ignoring:
    """A record that keeps nothing."""

    def sync(self, journal):
        pass


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with 32 pictures of four classes, larger than they are used; no GPU, one thread."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("PET_NNODES", raising=False)
    folder = Places(tmp_path, "noise").dataset
    folder.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 256, (32, 3, 36, 36), dtype=np.uint8)
    np.save(folder / "train.images.npy", pictures)
    np.save(folder / "train.labels.npy", np.arange(32) % 4)
    (folder / "dataset.json").write_text(json.dumps({"train": 32, "shapes": {"images": [3, 32, 32]}}))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def pretrained(root, run="rotation", work="work", **training):
    project = Project.given(root, PARAMETERS | {"training": PARAMETERS["training"] | training})
    context = Context(project, f"pretrain@{run}", root / work, Ignoring())
    context.work.mkdir(exist_ok=True)
    block = PARAMETERS["pretrain"][run]
    result = train_encoder(context, run, block["method"], block)
    return context, result, (context.places.encoder(run) / "encoder.safetensors").read_bytes()


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_curve_the_record_and_the_costs_tell_what_was_measured(root, monkeypatch):
    monkeypatch.setattr(Monitor, "due", lambda *_: True)
    context, result, weights = pretrained(root)
    rows = table(context.places.metric("rotation", "training.csv"))
    record = files.read_json(context.places.metric("rotation", "training.json"))
    for name in ("probe_top1", "rankme", "deviation"):
        assert record[name] == result.summary[name] == float(rows[-1][name])
        assert [line[name] for line in table(context.places.curves("rotation") / f"{name}.csv")] == [
            row[name] for row in rows
        ]
    assert {"monitor_seconds", "samples_per_second", "collapsed"}.isdisjoint(rows[0].keys() | record.keys())
    logged = [entry.values["monitor_seconds"] for entry in Journal(context.work / torchrun.JOURNAL).read()]
    assert result.costs["monitor_seconds"] == sum(logged) > 0
    assert result.costs["training_seconds"] > 0
    _, alone, same = pretrained(root, work="alone", monitor=False)
    assert same == weights
    assert alone.costs["monitor_seconds"] == 0
    assert "rankme" not in alone.summary


def test_another_run_of_the_same_leaves_the_same_bytes(root, monkeypatch):
    def left(context):
        places = context.places
        paths = [places.metric("rotation", f"training.{kind}") for kind in ("csv", "json")]
        return [path.read_bytes() for path in (*paths, *sorted(places.curves("rotation").iterdir()))]

    monkeypatch.setattr(Monitor, "due", lambda *_: True)
    first = left(pretrained(root)[0])
    assert len(first) == 5
    assert left(pretrained(root, work="again")[0]) == first


def test_without_labels_there_is_no_curve_of_the_probe_and_without_training_none_at_all(root, monkeypatch):
    monkeypatch.setattr(Monitor, "due", lambda *_: True)
    (Places(root, "noise").dataset / "train.labels.npy").unlink()
    context, _, _ = pretrained(root)
    folder = context.places.curves("rotation")
    assert sorted(path.name for path in folder.iterdir()) == ["deviation.csv", "rankme.csv"]
    assert "probe_top1" not in table(context.places.metric("rotation", "training.csv"))[0]
    context, _, _ = pretrained(root, "random", work="random")
    assert list(context.places.curves("random").iterdir()) == []


def test_epochs_that_were_not_measured_are_empty_in_the_curve_and_absent_from_the_tables(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.append(2, {"loss": 1.0, "samples_per_second": 9.0})
    journal.append(4, {"loss": 0.5, "rankme": 3.5, "monitor_seconds": 0.1, "samples_per_second": 9.0})
    curves.write_all(tmp_path / "all.csv", journal)
    curves.write_measured(tmp_path / "measured", journal)
    assert (tmp_path / "all.csv").read_text().split() == ["epoch,step,loss,rankme", "1,2,1.0,", "2,4,0.5,3.5"]
    assert [path.name for path in (tmp_path / "measured").iterdir()] == ["rankme.csv"]
    assert (tmp_path / "measured/rankme.csv").read_text().split() == ["epoch,rankme", "2,3.5"]


def test_a_training_too_short_to_be_measured_says_so_in_the_log_and_in_its_record(root, capsys):
    context, _, _ = pretrained(root)
    why = files.read_json(context.places.metric("rotation", "training.json"))["unmonitored"]
    assert why == "measuring would take over 3 % of so short a training"
    assert f"not looked at while it trained: {why}" in capsys.readouterr().out
    assert list(context.places.curves("rotation").iterdir()) == []
    off, result, _ = pretrained(root, work="off", monitor=False)
    assert "unmonitored" not in result.summary
    assert "unmonitored" not in files.read_json(off.places.metric("rotation", "training.json"))


def recorded(folder, rows, capsys):
    """What is printed while these epochs end."""
    recorder = Recorder(SimpleNamespace(work=folder, record=Ignoring()), Journal(folder / "journal"), 1, rank=128)
    for step, (deviation, rankme) in enumerate(rows, start=len(recorder.journal.read()) + 1):
        recorder.epoch(step, {"loss": 1.0, "deviation": deviation, "rankme": rankme})
    recorder.progress(10, 10, 1.0, 5.0)
    return capsys.readouterr().out.splitlines()


def test_a_collapse_is_told_while_it_happens_once_and_stands_in_the_line_of_progress(tmp_path, capsys):
    said = recorded(tmp_path, [(0.4, 30.0), (0.04, 4.0), (0.01, 1.24), (0.005, 1.1)], capsys)
    assert said[0].startswith("epoch 3: the representation has collapsed, all samples have nearly the same vector: ")
    assert said[0].endswith("deviation 0.01, RankMe 1.2 of 128")
    assert len(said) == 2
    assert said[1].endswith(" · collapsed")
    (said,) = recorded(tmp_path, [(0.004, 1.1)], capsys)  # resumed
    assert said.endswith(" · collapsed")


def test_a_sound_training_is_not_spoken_of(tmp_path, capsys):
    (said,) = recorded(tmp_path, [(0.01, 1.2), (0.02, 2.0), (0.4, 30.0)], capsys)
    assert "collapsed" not in said


def test_a_collapse_is_recorded(root, monkeypatch, capsys):
    monkeypatch.setattr(Monitor, "due", lambda *_: True)
    fallen = {"deviation": 0.01, "rankme": 1.0}
    monkeypatch.setattr(Monitor, "measure", lambda *_: fallen)
    context, result, _ = pretrained(root)
    assert files.read_json(context.places.metric("rotation", "training.json"))["collapsed"] == 2
    assert result.summary["collapsed"] == 2
    said = capsys.readouterr().out
    assert "epoch 2: the representation has collapsed, " in said
    assert "deviation 0.01, RankMe 1.0 of 16" in said
