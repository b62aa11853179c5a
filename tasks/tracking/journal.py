"""The journal of a stage: what was measured at which step and when, kept beside its checkpoints.

It is the truth about a training curve, and a tracking server only gets copies. A run that resumes cuts its journal at
the checkpoint, so that each step stands in it once, and always with the time at which it was first written.
"""

from __future__ import annotations

import json
import math
import operator
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.process.files import UnreadableFile, whole_file


@dataclass(frozen=True)
class Entry:
    """The values of one step; `time` is in milliseconds since 1970."""

    step: int
    time: float
    values: dict[str, float]


class Journal:
    """Append-only JSON lines, one a step: {"step": 3, "time": 1.7e12, "values": {"loss": 0.25}}. Steps rise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: int | None = None

    def append(self, step: int, values: Mapping[str, float]) -> Entry:
        """Writes one entry through to the system: a kill of this process cannot lose it."""
        if self._last is None:
            self._last = self._mend()
        if step <= self._last:
            raise ValueError(
                f"{self.path}: step {step} comes after step {self._last}; cut the journal at the checkpoint first"
            )
        entry = Entry(step, time.time() * 1000, {name: float(value) for name, value in values.items()})
        with open(self.path, "a") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())  # a checkpoint outlives a loss of power, and so must what was measured before it
        self._last = step
        return entry

    def cut(self, step: int) -> None:
        """Drops every entry after `step`, and half a line at the end; the file is replaced whole or not at all."""
        kept = [entry for entry in self.read() if entry.step <= step]
        with whole_file(self.path) as temporary:
            temporary.write_text("".join(map(_line, kept)))
        self._last = None

    def drop(self) -> None:
        """Empties the journal, whatever stands in it."""
        with whole_file(self.path) as temporary:
            temporary.write_text("")
        self._last = None

    def read(self) -> list[Entry]:
        """All entries. Half a line at the end, the trace of a kill, is passed over.

        Raises UnreadableFile for a line before the last that is no entry or goes back: that is no trace of a kill.
        """
        return list(self._entries())

    def rows(self) -> list[dict[str, float]]:
        """The entries as flat rows, {"step": 3, "loss": 0.25}, as a table or a curve wants them."""
        return [{"step": entry.step, **entry.values} for entry in self._entries()]

    def _entries(self) -> Iterator[Entry]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        last = -math.inf
        for number, line in enumerate(lines[:-1], start=1):  # what follows the last line's end is half a line, or b""
            try:
                entry = _entry(json.loads(line))
                if entry.step <= last:
                    raise ValueError(f"step {entry.step} comes after step {last}")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise UnreadableFile(self.path, f", line {number}: not a journal entry") from error
            last = entry.step
            yield entry

    def _mend(self) -> int:
        """Removes half a line at the end, lest the next entry be glued to it; gives the last step, -1 for none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        last = max((entry.step for entry in self._entries()), default=-1)
        if self.path.exists():
            os.truncate(self.path, self.path.read_bytes().rfind(b"\n") + 1)
        return last


def _entry(content: dict[str, Any]) -> Entry:
    values = {str(name): float(value) for name, value in content["values"].items()}
    return Entry(operator.index(content["step"]), float(content["time"]), values)


def _line(entry: Entry) -> str:
    return json.dumps({"step": entry.step, "time": entry.time, "values": entry.values}) + "\n"
