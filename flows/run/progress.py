"""Shows the progress of a run: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tasks.process.duration import duration

LINE_EVERY_SECONDS = 30.0
_TAIL_BYTES = 4096
_WAITING = re.compile(r"(?:Unable|Waiting) to acquire lock|was terminated abruptly|learn how to resolve this")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Progress:
    """Shows the jobs of one run. Its methods are thread-safe.

    Args:
        total: the number of planned jobs.
        console: where to write. In a terminal, there is a live view.
        every: seconds between two looks at the logs of running jobs, without a terminal.
    """

    def __init__(self, total: int, console: Console, every: float = LINE_EVERY_SECONDS) -> None:
        self._total = total
        self._console = console
        self._every = every
        self._lock = threading.Lock()
        self._started: dict[str, tuple[float, Path]] = {}
        self._ended = 0
        self._over = threading.Event()
        self._live = Live(get_renderable=self._view, console=console, refresh_per_second=4, transient=True)
        self._reader = threading.Thread(target=self._report_now_and_then, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._console.is_terminal:
            self._live.stop()
        else:
            self._reader.join()

    def start(self, name: str, log: Path) -> None:
        """A job has started; its output goes to `log`."""
        with self._lock:
            self._started[name] = time.monotonic(), log
        if not self._console.is_terminal:
            self.say(f"start    {name}")

    def done(self, name: str, outcome: str) -> None:
        """A job has succeeded. outcome: ran, unchanged or restored."""
        seconds = self._end(name)
        how = "" if outcome == "ran" else f" ({outcome})"
        self.say(f"done     {name} in {duration(seconds)}{how}", "green")

    def failed(self, name: str, retry_in: float | None) -> None:
        """An attempt has failed. retry_in: seconds until the next attempt; None if there is none."""
        seconds = self._end(name, final=retry_in is None)
        then = "" if retry_in is None else f"; tried again in {duration(retry_in)}"
        self.say(f"failed   {name} after {duration(seconds)}{then}", "red" if retry_in is None else "yellow")

    def skipped(self, name: str, because: str) -> None:
        self.say(f"skipped  {name} because of {because}", "yellow")

    def say(self, line: str, style: str = "") -> None:
        """Writes one line; in a terminal, above the live view."""
        self._console.print(Text(line, style=style), soft_wrap=True)

    def _end(self, name: str, *, final: bool = True) -> float:
        with self._lock:
            self._ended += final
            return time.monotonic() - self._started.pop(name)[0]

    def _running(self) -> list[tuple[str, float, str]]:
        with self._lock:
            started = dict(self._started)
        now = time.monotonic()
        return [(name, now - since, last_line(log)) for name, (since, log) in started.items()]

    def _view(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for name, seconds, line in self._running():
            table.add_row(Text(name, style="bold"), duration(seconds), Text(line, style="dim"))
        return Group(table, Text(f"{self._ended} of {self._total} done"))

    def _report_now_and_then(self) -> None:
        while not self._over.wait(self._every):
            for name, seconds, line in self._running():
                self.say(f"running  {name} for {duration(seconds)}: {line}")


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, without colours. The carriage return of a progress bar ends a line.

    What DVC shows while it waits a moment for its own lock is passed over: other stages of a run take it in turn.
    """
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [_CONTROL.sub("", line).strip() for line in re.split(r"[\r\n]", text)]
    return next((line for line in reversed(lines) if line and not _WAITING.search(line)), "")
