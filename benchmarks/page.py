"""The page of results: what was measured, how, on which machine, and which targets were missed."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev

from benchmarks.rows import MethodRow, Row, Spread, Target

HEADS = ("what", "ours", "the other", "ratio, median (min–max)", "target", "met")
METHOD_HEADS = ("method", "samples/s, median (min–max)", "share of the time in views", "memory grown once warm")
INTRODUCTION = (
    "Written by `make bench`. Each comparison was made in one run, ours and the other in turns (A B A B ...), "
    "{pairs} pairs; a ratio is the median of the pairs' ratios, ours / the other, with the smallest and the largest. "
    "A target counts as met if the median meets it."
)


@dataclass
class Page:
    """Collects the rows, and prints each as it comes."""

    rows: list[Row] = field(default_factory=list)
    methods: list[MethodRow] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        named = zip(HEADS[1:], cells(row)[1:], strict=True)
        print(f"{row.what}: {' · '.join(f'{head} {text}' for head, text in named if text != '–')}", flush=True)

    def add_method(self, row: MethodRow) -> None:
        self.methods.append(row)
        name, rate, share, growth = method_cells(row)
        print(f"{name}: {rate} samples/s · {share} of the time in views · {growth} grown", flush=True)

    def markdown(self, machine: Mapping[str, str], pairs: int, introduction: str = INTRODUCTION) -> str:
        """The whole page."""
        parts = ["# Benchmarks", "", introduction.format(pairs=pairs), "", *bullets(machine.items())]
        parts += ["", table(HEADS, [cells(row) for row in self.rows]), "", "How each was measured:", ""]
        parts += bullets((row.what, row.how) for row in self.rows)
        if self.methods:
            parts += ["", "Each method in the trainer, with its default settings, as in the row of SimCLR above:", ""]
            parts.append(table(METHOD_HEADS, [method_cells(row) for row in self.methods]))
        return "\n".join(parts) + "\n"


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of HEADS; a dash for what a row does not have."""
    other = "–" if row.other is None else f"{number(row.other.median)} {row.unit} ({row.rival})"
    ratio = "–" if row.ratio is None else f"{with_range(row.ratio)} ×"
    own = f"{number(row.ours.median) if row.target.ratio else with_range(row.ours)} {row.unit}"
    return row.what, own, other, ratio, bound(row.target, row.unit), "yes" if row.met else "**no**"


def method_cells(row: MethodRow) -> tuple[str, ...]:
    """A method's row as text, in the order of METHOD_HEADS."""
    return row.name, with_range(row.rate), f"{100 * row.share.median:.0f} %", f"{row.growth:.0f} MiB"


def bound(target: Target, unit: str) -> str:
    """ "≥ 10 ×" of the ratio, or "< 5 s" of our own number."""
    return f"{target.sign} {target.bound:,g} {'×' if target.ratio else unit}"


def number(value: float) -> str:
    """Three or four digits that tell: 17,830 and 12.3 and 0.847."""
    if value >= 100:
        rounding = -max(0, len(str(int(value))) - 4)
        return f"{round(value, rounding):,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def with_range(measured: Spread) -> str:
    return f"{number(measured.median)} ({number(measured.low)}–{number(measured.high)})"


def with_deviation(values: Sequence[float] | None) -> str:
    """ "61.2", or "61.2 ± 0.4" over several seeds; a dash where there is none."""
    if not values:
        return "–"
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def caption(seeds: Sequence[str], told: Sequence[str], source: str) -> str:
    """The line under a table of scores: its seeds, what else is told, and the files that it is made of."""
    many = len(seeds) > 1
    parts = [f"seed{'s' if many else ''} {', '.join(seeds)}", *told]
    return f"*{'; '.join([*parts, *(['± is one standard deviation over the seeds'] if many else [])])}; from {source}*"


def csv_lines(path: Path) -> list[dict[str, str]]:
    """The rows of a table by the names of its columns."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- **{name}**: {text}" for name, text in pairs]


def machine_facts(root: Path, precision: str) -> dict[str, str]:
    """What results depend on, and on a busy machine how busy it was."""
    import torch

    facts = {"CPU": f"{cpu_model()}, {os.cpu_count()} cores"}
    if torch.cuda.is_available():
        facts["GPU"] = torch.cuda.get_device_name()
    facts["threads"] = "views and decoding 2, rendering 2 and 1, everything else 1"
    facts["precision"] = precision
    facts["versions"] = f"torch {torch.__version__}, Python {platform.python_version()}, {platform.system()}"
    facts["load average before"] = f"{os.getloadavg()[0]:.1f}"
    facts["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
    facts["commit"] = commit(root)
    return facts


def cpu_model() -> str:
    """The processor's own name for itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit(root: Path) -> str:
    """The commit that is checked out, with "-dirty" where files differ from it; "unknown" without git."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
