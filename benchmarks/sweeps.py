"""The tables of METHODS.md that show a sweep, made of results/sweeps/NAME.csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean

from benchmarks.page import caption, csv_lines, table, with_deviation
from tasks.project.paths import SWEEPS

LAST, KNN = ("linear", "res5", "top1"), ("knn", "pooled", "top1")
CONTROLS = ("random", "supervised")
"""What the names of runs begin with that are compared with, and never the best."""
Line = Mapping[str, str]
Setting = tuple[tuple[str, str], ...]
"""What was varied, by its name, with its value."""
Scores = dict[tuple[str, str, str], list[float]]
"""(protocol, layer, metric) -> values, one a seed."""


def made(root: Path, name: str, filed: Path) -> str:
    """The table of a sweep and the line under it; nothing where it has no score yet.

    filed: holds the scores of the default trainings, as DATA.seedN.scores.csv.
    """
    path = root / SWEEPS / f"{name}.csv"
    lines = _scored(path) if path.exists() else []
    if not lines:
        return ""
    settings = {_setting(line) for line in lines}
    if len(settings) > 1:
        written = by_setting(lines)
    else:
        data = dict(settings.pop()).get("data", "world")
        default = [line for other in sorted(filed.glob(f"{data}.seed*.scores.csv")) for line in _scored(other)]
        written = beside_default(lines, default)
    seeds = sorted({line["seed"] for line in lines}, key=int)
    return f"{written}\n\n{caption(seeds, [], f'{SWEEPS}/{name}.csv')}\n"


def by_setting(lines: Iterable[Line]) -> str:
    """A row a run, a column for each combination of settings: top-1 of the last layer, and by k-NN if measured.

    The run whose last layer is the best of a column is in bold there.
    """
    found: dict[Setting, dict[str, Scores]] = {}
    for line in lines:
        _add(found.setdefault(_setting(line), {}), line)
    tops = {
        setting: max((mean(of[LAST]) for run, of in runs.items() if LAST in of and _ours(run)), default=None)
        for setting, runs in found.items()
    }
    body = []
    for run in dict.fromkeys(run for runs in found.values() for run in runs):
        cells = []
        for setting, runs in found.items():
            scores = runs.get(run, {})
            last = _percent(scores, LAST)
            bold = _ours(run) and LAST in scores and mean(scores[LAST]) == tops[setting]
            cells.append((f"**{last}**" if bold else last) + (f" / {_percent(scores, KNN)}" if KNN in scores else ""))
        body.append([run, *cells])
    near = any(KNN in scores for runs in found.values() for scores in runs.values())
    heads = [", ".join(v if key == "data" else f"{key} {v}" for key, v in setting) for setting in found]
    return table([f"top-1, %: res5{' / k-NN' if near else ''}", *heads], body)


def beside_default(lines: Iterable[Line], default: Iterable[Line]) -> str:
    """A row a run: its epochs and seconds where they are known, and top-1, with that of the default in brackets."""
    ours: dict[str, Scores] = {}
    others: dict[str, Scores] = {}
    for lines_of, found in ((lines, ours), (default, others)):
        for line in lines_of:
            _add(found, line)
    body = []
    for run, scores in ours.items():
        other = others.get(run, {})
        spent = [scores.get(("training", "", metric)) for metric in ("epochs", "seconds")]
        cells = [f"{mean(values):,.0f}" if values else "–" for values in spent]
        best = _best(scores)
        cells.append(f"{_percent(scores, best)} {best[1]} ({_percent(other, _best(other))})")
        cells += [f"{_percent(scores, what)} ({_percent(other, what)})" for what in (LAST, KNN)]
        body.append([run, *cells])
    return table(["top-1, % (default)", "epochs", "seconds", "best layer", "res5", "k-NN"], body)


def _add(found: dict[str, Scores], line: Line) -> None:
    what = line["protocol"], line["layer"], line["metric"]
    found.setdefault(line["run"], {}).setdefault(what, []).append(float(line["value"]))


def _best(scores: Scores) -> tuple[str, str, str]:
    """The layer whose mean is highest, but for the encoder's own output; the last where none was measured."""
    layers = [what for what in scores if what == ("linear", what[1], "top1") and what[1] != KNN[1]]
    return max(layers, key=lambda what: mean(scores[what]), default=LAST)


def _percent(scores: Scores, what: tuple[str, str, str]) -> str:
    return with_deviation([100 * value for value in scores.get(what, [])])


def _ours(run: str) -> bool:
    return not run.startswith(CONTROLS)


def _setting(line: Line) -> Setting:
    """What was varied, which stands between the seed and the run."""
    keys = list(line)
    return tuple((key, line[key]) for key in keys[keys.index("seed") + 1 : keys.index("run")])


def _scored(path: Path) -> list[dict[str, str]]:
    """The rows that have a value."""
    return [line for line in csv_lines(path) if line["value"]]
