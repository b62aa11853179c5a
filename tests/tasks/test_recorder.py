"""Checkpoints and journals that cannot be read: put aside in one line, and the training ends in the same bytes."""

import os
from types import SimpleNamespace

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.method import method_class
from ssl_models.trainer import Settings, Training
from tasks.stage.torchrun import CHECKPOINT, JOURNAL
from tasks.tracking.journal import Journal
from tasks.training.recorder import Recorder

IMAGES = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Stopped(RuntimeError):
    """Stands for a kill."""


class Record:
    """A stage's record that stops the training at its second checkpoint, where it is asked to."""

    def __init__(self, stop):
        self.stop, self.synced = stop, 0

    def sync(self, _journal):
        self.synced += 1
        if self.stop and self.synced == 2:
            raise Stopped


def train(work, *, stop=False):
    """Trains in a work folder, from the checkpoint that lies there; the weights that come of it, and the curve."""
    torch.manual_seed(3)
    method = method_class("rotation")(
        build_encoder("resnet", depth=10, width=4), DataSpec(32, {"images": (3, 32, 32)}, torch.arange(32) % 4, 4)
    )
    journal = Journal(work / JOURNAL)
    recorder = Recorder(SimpleNamespace(work=work, record=Record(stop)), journal, 2)
    training = Training(method, IMAGES, Settings(epochs=3, batch_size=16), seed=5, observer=recorder)
    training.run()
    curve = [(entry.step, entry.values["loss"]) for entry in journal.read()]
    return {name: value.clone() for name, value in method.state_dict().items()}, curve


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed training gives."""
    work = tmp_path_factory.mktemp("whole")
    return train(work)


@pytest.fixture
def killed(tmp_path):
    """The work folder of a training that was stopped after two of three epochs."""
    with pytest.raises(Stopped):
        train(tmp_path, stop=True)
    return tmp_path


def same(found, expected):
    return found[1] == expected[1] and all(torch.equal(value, found[0][name]) for name, value in expected[0].items())


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(change):
    def damage(path):
        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)

    return damage


CHECKPOINTS = {
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "nearly whole": lambda path: os.truncate(path, path.stat().st_size - 1),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("<<<<<<< HEAD\n"),
    "one bit": flip,
    "a key is missing": rewrite(lambda content: content.pop("optimizer")),
    "no step": rewrite(lambda content: content.pop("step")),
    "a step beyond the end": rewrite(lambda content: content.update(step=4_000)),
    "another shape": rewrite(lambda content: content["method"].update({"head.weight": torch.ones(9, 9)})),
    "a missing weight": rewrite(lambda content: content["method"].pop("head.weight")),
    "a list": lambda path: torch.save([1, 2], path),
    "another optimiser": rewrite(lambda content: content["optimizer"]["param_groups"].pop()),
}
JOURNALS = {
    "empty": "",
    "no JSON": "rubbish\n",
    "zeros": "\0\0\0\n",
    "deep": "[" * 100_000 + "\n",
    "no epoch before": '{"step": 4, "time": 1.0, "values": {"loss": 1.0, "samples_per_second": 1.0}}\n',
    "back": '{"step": 4, "time": 1.0, "values": {}}\n{"step": 2, "time": 1.0, "values": {}}\n',
    "a list": "[1, 2]\n",
    "words for numbers": '{"step": "2", "time": 1.0, "values": {"loss": "x"}}\n',
}


@pytest.mark.parametrize("damage", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_checkpoint_that_cannot_be_read_is_put_aside_and_the_training_starts_anew(killed, whole, capsys, damage):
    damage(killed / CHECKPOINT)
    damaged = (killed / CHECKPOINT).read_bytes()
    assert same(train(killed), whole)
    told = [line for line in capsys.readouterr().out.splitlines() if "unreadable" in line]
    assert len(told) == 1
    assert str(killed) in told[0]
    assert told[0].endswith("put aside as *.unreadable, and the training starts from the beginning")
    assert (killed / f"{CHECKPOINT}.unreadable").read_bytes() == damaged


@pytest.mark.parametrize("text", JOURNALS.values(), ids=JOURNALS)
def test_so_is_a_journal_that_lacks_what_came_before_the_checkpoint(killed, whole, capsys, text):
    (killed / JOURNAL).write_text(text)
    assert same(train(killed), whole)
    assert f"{killed / JOURNAL}" in capsys.readouterr().out
    assert (killed / f"{JOURNAL}.unreadable").read_text() == text


def test_what_can_be_read_is_gone_on_with(killed, whole, capsys):
    assert same(train(killed), whole)
    assert "resuming at step 4" in capsys.readouterr().out
    assert not list(killed.glob("*.unreadable"))
