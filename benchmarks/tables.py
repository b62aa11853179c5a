"""`python -m benchmarks.tables [--check]`: keeps a data set's scores in results/, and writes the README's tables.

A table stands between `<!-- table:NAME -->` and `<!-- /table -->`, one of all protocols between `<!-- suite:NAME -->`
and `<!-- /table -->`; both are made of results/NAME.csv alone, so that anyone can check them without running anything.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import NormalDist

from benchmarks.page import table
from ssl_models.protocols._common.score import Score
from tasks.process.files import whole_file
from tasks.project.paths import SCORES
from tasks.reporting.headline import headline
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet, Measure, best, headline_measures, label, lines, measure

BLOCK = re.compile(r"(<!-- (?P<kind>table|suite):(?P<data>[^ ]+) -->\n)(?P<table>.*?)(<!-- /table -->)", re.DOTALL)
LINEAR, KNN, METRIC, LAST = "linear", "knn", "top1", "res5"
HEADS = ["linear, best layer", f"linear, {LAST}", "k-NN"]
Cells = list[Score | None]


class TableError(RuntimeError):
    """A table cannot be made, or is not what its scores give; the text says which and what to do."""


def main(arguments: list[str], root: Path | None = None) -> int:
    """0, or 1 and a line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the README's tables are others")
    check = parser.parse_args(arguments).check
    try:
        print(*(verify if check else update)(root or Path.cwd()), sep="\n")
    except TableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def update(root: Path) -> list[str]:
    """Files the current scores by data set, and writes all tables anew; says what it did."""
    heads, by_data = _current_scores(root / SCORES)
    readme = _readme(root)
    for data in by_data:
        if data not in {block["data"] for block in BLOCK.finditer(readme) if block["kind"] == "table"}:
            raise TableError(
                f"README.md has no place for the table of {data}: add the lines <!-- table:{data} --> and "
                "<!-- /table --> where it shall stand"
            )
    for data, entries in by_data.items():
        with whole_file(_scores_of(root, data)) as path, open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([heads, *entries])
    with whole_file(root / "README.md") as path:
        path.write_text(_rewritten(root, readme), encoding="utf-8")
    return [f"{_scores_of(root, data).relative_to(root)} and its table in README.md: written" for data in by_data]


def verify(root: Path) -> list[str]:
    """Raises TableError if a table of the README is not what its scores give."""
    readme = _readme(root)
    again = _rewritten(root, readme)
    pairs = zip(BLOCK.finditer(readme), BLOCK.finditer(again), strict=True)
    if changed := [old["data"] for old, new in pairs if old["table"] != new["table"]]:
        raise TableError(f"README.md's table of {', '.join(changed)} is not what results/ holds; run `make tables`")
    return ["README.md's tables are what results/ holds"]


def markdown(data: DataSet, source: str, seeds: dict[str, str]) -> str:
    """The table of one data set, and under it one line on where it comes from.

    seeds: of each run. Controls come first; of the others the best of each measure, refitted or not, is bold.
    """
    ranks = {"untrained": 0, "supervised": 1, "pretrained": 2, "self-supervised": 2}
    rows = sorted(lines(data), key=lambda row: ranks[row[0].role])
    shown = measure(data, LINEAR, METRIC), measure(data, KNN, METRIC)
    found = [(*_scores(run if first else None, shown), *_scores(refit, shown)) for run, refit, first in rows]
    ours = [cells for (run, _, _), cells in zip(rows, found, strict=True) if run.ranked]
    bold = {
        id(top) for place in range(3) if (top := _best(cells[side] for cells in ours for side in (place, place + 3)))
    }
    body = []
    for (run, refit, first), cells in zip(rows, found, strict=True):
        texts = [_text(score, place % 3, shown, id(score) in bold) for place, score in enumerate(cells)]
        own = sorted({seeds[one.name] for one in (run, refit) if one is not None})
        body.append([run.name if first else f"{run.name} ({refit.name if refit else ''})", *texts, ", ".join(own)])
    heads = ["top-1, %", *HEADS, *(f"ClusterFit: {head}" for head in HEADS), "seed"]
    return f"{table(heads, body)}\n\n{_caption(data, source, seeds)}\n"


def suite(data: DataSet, source: str, seeds: dict[str, str]) -> str:
    """Every protocol's headline number of each run, controls first, a refit below its source; the best ones bold."""
    shown = headline_measures(data)
    ours, controls = headline(data)
    body = [
        [
            f"{'↳ ' if row.run.source else ''}{row.run.name}",
            *(f"**{c.value}**" if c.best else c.value for c in row.cells),
        ]
        for row in (*controls, *ours)
    ]
    heads = ["%", *(f"{label(m.protocol)} ({m.metric})" for m in shown)]
    named = ", ".join(sorted(set(seeds.values())))
    return f"{table(heads, body)}\n\n*best layer where there are several; seed {named}, from {source}*\n"


def _current_scores(path: Path) -> tuple[list[str], dict[str, list[list[str]]]]:
    """The column names, and the lines of each data set as they stand."""
    if not path.exists():
        raise TableError(f"there is no {path}; `make run` writes it")
    with open(path, newline="", encoding="utf-8") as file:
        heads, *entries = csv.reader(file)
    by_data: dict[str, list[list[str]]] = {}
    for entry in entries:
        by_data.setdefault(entry[heads.index("data")], []).append(entry)
    if not by_data:
        raise TableError(f"{path} holds no score: no protocol applied to these data")
    return heads, by_data


def _readme(root: Path) -> str:
    path = root / "README.md"
    if not path.exists():
        raise TableError(f"there is no {path}")
    text = path.read_text(encoding="utf-8")
    if not BLOCK.search(text):
        raise TableError(
            f"{path} has no place for a table: add the lines <!-- table:NAME --> and <!-- /table -->, NAME being that "
            "of a data set"
        )
    return text


def _scores_of(root: Path, data: str) -> Path:
    return root / Path(SCORES).with_name(f"{data}.csv")


def _rewritten(root: Path, readme: str) -> str:
    """The README with every table made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{_block(root, block['kind'], block['data'])}{block[5]}", readme)


def _block(root: Path, kind: str, data: str) -> str:
    path = _scores_of(root, data)
    if not path.exists():
        raise TableError(f"README.md has a table of {data}, but there is no {path}: select that data set and run it")
    runs, seeds = _read(path)
    write = suite if kind == "suite" else markdown
    return write(DataSet(data, runs), path.relative_to(root).as_posix(), seeds)


def _read(path: Path) -> tuple[list[Run], dict[str, str]]:
    """The runs of a file of scores, and the seed of each. The name at the root of its sources stands for its method."""
    with open(path, newline="", encoding="utf-8") as file:
        entries = list(csv.DictReader(file))
    runs: dict[str, Run] = {}
    seeds: dict[str, str] = {}
    for entry in entries:
        name, source = entry["run"], entry["source"] or None
        if seeds.setdefault(name, entry["seed"]) != entry["seed"]:
            raise TableError(f"{path}: run '{name}' has more than one seed; give each seed a run of its own name")
        run = runs.setdefault(name, Run(name, source, runs[source].method if source in runs else name))
        limits = (math.nan if entry[key] == "" else float(entry[key]) for key in ("value", "low", "high"))
        scores = run.protocols.setdefault(entry["protocol"], {"scores": []})["scores"]
        scores.append(Score(entry["layer"], entry["metric"], *limits))
    return list(runs.values()), seeds


def _scores(run: Run | None, shown: tuple[Measure, Measure]) -> Cells:
    """Linear at the best layer, linear at the last, k-NN; None for what there is not."""
    if run is None:
        return [None, None, None]
    linear, knn = shown
    last = [score for score in run.scores(LINEAR, METRIC) if score.layer == LAST and math.isfinite(score.value)]
    return [best(run, linear), last[0] if last else None, best(run, knn)]


def _best(scores: Iterable[Score | None]) -> Score | None:
    return max((score for score in scores if score), key=lambda score: score.value, default=None)


def _text(score: Score | None, place: int, shown: tuple[Measure, Measure], bold: bool) -> str:
    if score is None:
        return "–"
    how = shown[place == 2]
    text = f"**{how.number(score.value)}**" if bold else how.number(score.value)
    return text if place else f"{text} {score.layer} ({how.interval(score.low, score.high)})"


def _caption(data: DataSet, source: str, seeds: dict[str, str]) -> str:
    """ "*seed 0, 2,048 test images, 95 % intervals of at most ± 2.2, from results/world.csv*"."""
    scores = [s for run in data.runs for protocol in (LINEAR, KNN) for s in run.scores(protocol, METRIC)]
    named = sorted(set(seeds.values()))
    parts = [f"seed{'s' if len(named) > 1 else ''} {', '.join(named)}"]
    if counts := sorted({trials for score in scores if (trials := trials_of(score))}):
        parts.append(f"{' or '.join(f'{count:,}' for count in counts)} test images")
    widest = max((max(score.high - score.value, score.value - score.low) for score in scores), default=math.nan)
    if math.isfinite(widest):
        parts.append(f"95 % intervals of at most ± {measure(data, LINEAR, METRIC).number(widest)}")
    return f"*{', '.join(parts)}, from {source}*"


def trials_of(score: Score) -> int | None:
    """How many trials a share with a Wilson interval comes from; None if the interval is another.

    The limits x of Wilson's interval solve (p - x)^2 = z^2 x (1 - x) / n.
    """
    limit = max(score.low, score.high, key=lambda x: abs(score.value - x))
    if not 0 < limit < 1 or limit == score.value:
        return None
    trials = NormalDist().inv_cdf(0.975) ** 2 * limit * (1 - limit) / (score.value - limit) ** 2
    return round(trials) if abs(trials - round(trials)) < 1e-4 * trials**0.5 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
