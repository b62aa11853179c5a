"""Slots: they limit how many stages run at the same time.

Prefect's own concurrency limits live in its database. If a run is killed, its slots there are never released, and the
next run waits for ever (prefect #17415, #9895). These slots live in memory and end with the process.
"""

from __future__ import annotations

import heapq
import itertools
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_models.cores import cores

_NVIDIA_FOLDER = Path("/proc/driver/nvidia/gpus")


class SlotsClosed(RuntimeError):
    """The slots are closed, because the run is being stopped."""


@dataclass(order=True)
class _Waiter:
    """A thread in a queue, ordered by priority, then by arrival."""

    rank: tuple[float, int]
    wants_device: bool = field(compare=False)
    called: threading.Event = field(default_factory=threading.Event, compare=False)
    inside: bool = field(default=False, compare=False)
    device: str | None = field(default=None, compare=False)


class Slots:
    """CPU slots and devices for stages. The stage with the highest priority gets the next one.

    Args:
        cpu_slots: how many stages may run on the CPU at once.
        devices: values for CUDA_VISIBLE_DEVICES. If there are none, stages that need a device take a CPU slot.
        at_most: how many stages may run at once in total; None for no further limit.

    Raises:
        ValueError: cpu_slots or at_most below 1.
    """

    def __init__(self, cpu_slots: int, devices: Sequence[str] = (), *, at_most: int | None = None) -> None:
        if cpu_slots < 1:
            raise ValueError(f"cpu_slots is {cpu_slots}; it must be at least 1")
        if at_most is not None and at_most < 1:
            raise ValueError(f"at_most is {at_most}; it must be at least 1")
        self._lock = threading.Lock()
        self._free_slots = cpu_slots
        self._free_devices = list(devices)
        self._has_devices = bool(devices)
        self._free_places = cpu_slots + len(devices) if at_most is None else at_most
        self._slot_queue: list[_Waiter] = []
        self._device_queue: list[_Waiter] = []
        self._arrival = itertools.count()
        self._closed = False

    @contextmanager
    def hold(self, *, device: bool, priority: float = 0.0) -> Iterator[str | None]:
        """Waits for a slot and holds it for the block. Yields the device, or None for a CPU slot.

        device: whether the block needs one.
        """
        waiter = self._wait(device, priority)
        try:
            yield waiter.device
        finally:
            self._give_back(waiter)

    def close(self) -> None:
        """Raises SlotsClosed in all threads that wait, now and later. Stages that hold a slot keep it."""
        with self._lock:
            self._closed = True
            for waiter in self._slot_queue + self._device_queue:
                waiter.called.set()
            self._slot_queue.clear()
            self._device_queue.clear()

    @property
    def closed(self) -> bool:
        return self._closed

    def _wait(self, device: bool, priority: float) -> _Waiter:
        with self._lock:
            if self._closed:
                raise SlotsClosed("the run is being stopped")
            waiter = _Waiter((-priority, next(self._arrival)), self._has_devices and device)
            heapq.heappush(self._device_queue if waiter.wants_device else self._slot_queue, waiter)
            self._admit()
        try:
            waiter.called.wait()
        except BaseException:  # Ctrl-C in the waiting thread: leave the queue, or release the slot
            self._withdraw(waiter)
            raise
        if not waiter.inside:
            raise SlotsClosed("the run is being stopped")
        return waiter

    def _admit(self) -> None:
        """Gives out all free slots. Devices go first: an idle device costs more than an idle core."""
        while self._free_places and self._device_queue and self._free_devices:
            waiter = heapq.heappop(self._device_queue)
            waiter.device = self._free_devices.pop(0)
            self._let_in(waiter)
        while self._free_places and self._slot_queue and self._free_slots:
            self._free_slots -= 1
            self._let_in(heapq.heappop(self._slot_queue))

    def _let_in(self, waiter: _Waiter) -> None:
        self._free_places -= 1
        waiter.inside = True
        waiter.called.set()

    def _give_back(self, waiter: _Waiter) -> None:
        with self._lock:
            self._free_places += 1
            if waiter.device is not None:
                self._free_devices.append(waiter.device)
            else:
                self._free_slots += 1
            self._admit()

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._lock:
            inside = waiter.inside
            if not inside:
                queue = self._device_queue if waiter.wants_device else self._slot_queue
                queue.remove(waiter)
                heapq.heapify(queue)
        if inside:
            self._give_back(waiter)


def of_machine(machine: Mapping[str, Any], jobs: int | None) -> Slots:
    """The slots of this machine for the settings in the block `machine`; at most `jobs` stages run at once.

    If trainings use several processes, each slot has the cores or GPUs for all of them.
    """
    slots, devices = places(machine)
    return Slots(slots, devices, at_most=jobs)


def places(machine: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The number of stages that fit the cores, and the GPUs (or groups of GPUs) for stages that need one."""
    processes = machine.get("processes", 1)
    return count_slots(machine.get("threads", 1) * processes), grouped(find_devices(), processes)


def grouped(devices: Sequence[str], size: int) -> list[str]:
    """Groups of devices in the format of CUDA_VISIBLE_DEVICES: "0,1" and "2,3". A remainder stays unused."""
    return [",".join(devices[first : first + size]) for first in range(0, len(devices) - size + 1, size)]


def count_slots(threads: int) -> int:
    """How many stages with this many threads fit the cores of this process; at least one."""
    return max(1, cores() // max(1, threads))


def find_devices() -> list[str]:
    """The GPUs that this process may use, in the format of CUDA_VISIBLE_DEVICES. It does not import torch (5 s)."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = _installed_devices()
    if visible is None:
        return [str(number) for number in range(present)]
    allowed = [name.strip() for name in visible.split(",")]
    # CUDA stops at the first name that it does not know: "-1" and "" hide all devices after them.
    kept = itertools.takewhile(lambda name: name and not name.startswith("-"), allowed)
    return list(kept) if present else []


def _installed_devices() -> int:
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
        return sum(line.startswith("GPU ") for line in listing.splitlines())
    except (OSError, subprocess.SubprocessError):
        return len(list(_NVIDIA_FOLDER.iterdir())) if _NVIDIA_FOLDER.is_dir() else 0
