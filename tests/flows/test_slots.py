"""Slots let in as many as there are places, the highest priority first."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.run import slots as slots_module
from flows.run.slots import Slots, SlotsClosed, find_devices, grouped, of_machine


def hold_later(pool: ThreadPoolExecutor, slots: Slots, kind: str, priority: float, log: list, label: object):
    """Has a thread wait for a place, and returns once it waits (or has been let in)."""
    before = len(slots._slot_queue) + len(slots._device_queue)

    def work() -> None:
        with slots.hold(device=kind == "train", priority=priority) as device:
            log.append((label, device))

    future = pool.submit(work)
    while not future.done() and len(slots._slot_queue) + len(slots._device_queue) == before:
        time.sleep(0.001)
    return future


def test_never_more_inside_than_there_are_places():
    slots = Slots(3, ["0", "1"])
    lock, inside, most = threading.Lock(), {"slot": 0, "0": 0, "1": 0}, {"slot": 0, "0": 0, "1": 0}
    kinds, full = ["train", "transfer", "extract", "cluster"] * 15, threading.Event()

    def work(kind: str) -> None:
        with slots.hold(device=kind in ("train", "extract"), priority=random.random()) as device:
            place = device or "slot"
            with lock:
                inside[place] += 1
                most[place] = max(most[place], inside[place])
                if sum(inside.values()) == 5:
                    full.set()
            assert full.wait(60)  # the first keep their places until there are no more
            time.sleep(0.002)
            with lock:
                inside[place] -= 1

    with ThreadPoolExecutor(len(kinds)) as pool:
        list(pool.map(work, kinds))
    assert most == {"slot": 3, "0": 1, "1": 1}
    assert inside == {"slot": 0, "0": 0, "1": 0}


def test_highest_priority_first_and_first_come_among_equals():
    slots, log = Slots(1), []
    with ThreadPoolExecutor(8) as pool, slots.hold(device=False):
        for label, priority in [("a", 1), ("b", 3), ("c", 2), ("d", 3), ("e", 1)]:
            hold_later(pool, slots, "transfer", priority, log, label)
    assert [label for label, _ in log] == ["b", "d", "c", "a", "e"]


def test_a_device_waiter_passes_any_number_of_slot_waiters():
    slots, log = Slots(1, ["7"], at_most=1), []
    with ThreadPoolExecutor(8) as pool, slots.hold(device=False):
        for label in range(5):
            hold_later(pool, slots, "transfer", 100, log, label)
        hold_later(pool, slots, "train", 0, log, "train")
    assert log[0] == ("train", "7")
    assert {device for _, device in log[1:]} == {None}


def test_full_slots_do_not_keep_a_free_device_idle():
    slots = Slots(1, ["0"])
    with slots.hold(device=False), slots.hold(device=True) as device:
        assert device == "0"


def test_without_devices_training_takes_a_slot():
    slots, log = Slots(1), []
    with ThreadPoolExecutor(1) as pool, slots.hold(device=True) as device:
        assert device is None
        waiting = hold_later(pool, slots, "transfer", 1, log, "waits")
        assert not waiting.done()
    assert log == [("waits", None)]


def test_an_error_inside_gives_the_place_back():
    slots = Slots(1, ["0"])
    for device in (True, False):
        with pytest.raises(RuntimeError, match="inside"), slots.hold(device=device):
            raise RuntimeError("inside")
        with slots.hold(device=device):
            pass


def test_close_turns_waiters_away_and_lets_those_inside_finish():
    slots, log = Slots(1), []
    with ThreadPoolExecutor(3) as pool, slots.hold(device=False):
        waiting = [hold_later(pool, slots, "transfer", 1, log, label) for label in range(3)]
        slots.close()
        for future in waiting:
            with pytest.raises(SlotsClosed):
                future.result(60)
    with pytest.raises(SlotsClosed), slots.hold(device=False):
        pass
    assert log == []


@pytest.mark.parametrize("arguments", [{"cpu_slots": 0}, {"cpu_slots": 1, "at_most": 0}])
def test_no_place_at_all_is_refused(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        Slots(**arguments)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("GPU-ab,GPU-cd", ["GPU-ab", "GPU-cd"]),
    ],
)
def test_devices_are_those_that_cuda_would_see(monkeypatch, tmp_path: Path, visible, found):
    driver = tmp_path / "gpus"
    for name in ("0000:01", "0000:02"):
        (driver / name).mkdir(parents=True)
    monkeypatch.setattr(slots_module, "_NVIDIA_FOLDER", driver)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi there
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_devices() == found


def test_a_training_in_several_processes_is_given_as_many_gpus_or_cores(monkeypatch):
    assert grouped(["0", "1", "2", "3", "4"], 2) == ["0,1", "2,3"]
    assert grouped(["0"], 2) == []
    monkeypatch.setattr(slots_module, "find_devices", lambda: ["0", "1"])
    with of_machine({"threads": 1, "processes": 2}, None).hold(device=True) as device:
        assert device == "0,1"
    monkeypatch.setattr(slots_module, "find_devices", list)
    asked = []
    monkeypatch.setattr(slots_module, "count_slots", lambda threads: asked.append(threads) or 1)
    of_machine({"threads": 2, "processes": 3}, None)
    assert asked == [6]
