"""`python -m benchmarks.methods [--check]`: files a run of all methods, and writes the tables of METHODS.md.

results/methods/<data>.seed<seed>.{scores,runs}.csv hold what the pipeline last found of each training; those that are
not selected stay as they were filed before. A table stands in METHODS.md between `<!-- transfer:DATA -->` (or refits,
costs, measures, recipe) and `<!-- /table -->` and is made of those files alone; `<!-- sweep:NAME -->` shows a sweep.
results/methods/<data>.before.csv holds what runs had reached before today's settings, and is never written.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks import sweeps
from benchmarks.kinds import measures
from benchmarks.page import caption, csv_lines, table, with_deviation
from tasks.process.files import whole_file
from tasks.project.paths import COST_TABLE, RUNS, SCORES
from tasks.reporting.csv_files import COLUMNS, RUN_COLUMNS

FOLDER, PAGE = "results/methods", "METHODS.md"
BLOCK = re.compile(
    r"(<!-- (?P<kind>transfer|refits|costs|measures|recipe|sweep):(?P<data>[^ ]+) -->\n)"
    r"(?P<table>.*?)(<!-- /table -->)",
    re.DOTALL,
)
LAYERS = ("conv1", "res2", "res3", "res4", "res5")
KNN = ("knn", "pooled")
FAMILIES = ("control", "predictive", "contrastive")

Values = list[float]
"""One number a seed."""


class MethodsError(RuntimeError):
    """A table cannot be made, or is not what its files give; the text says which and what to do."""


COSTS = ("seconds", "samples_per_second", "peak_memory")


@dataclass(frozen=True)
class Entry:
    """One run over its seeds. scores: (protocol, layer) -> top-1 in %; facts: of its training, one a seed.

    rankme: of the vectors, by the protocol `label_free`; empty where it was not run.
    """

    name: str
    source: str
    scores: Mapping[tuple[str, str], Values]
    facts: Sequence[Mapping[str, str]]
    rankme: Values

    @property
    def family(self) -> str:
        return self.facts[0]["family"]

    def linear(self, layer: str) -> Values | None:
        return self.scores.get(("linear", layer))

    @property
    def best(self) -> tuple[str, Values] | None:
        """The layer whose mean over the seeds is highest, and its scores."""
        found = [(layer, v) for (protocol, layer), v in self.scores.items() if protocol == "linear" and layer != KNN[1]]
        return max(found, key=lambda pair: mean(pair[1]), default=None)

    def number(self, name: str) -> float | None:
        """The mean of a fact over the seeds."""
        found = [float(facts[name]) for facts in self.facts if facts[name]]
        return mean(found) if found else None


def main(arguments: list[str], root: Path | None = None) -> int:
    """0, or 1 and a line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the tables are others")
    check = parser.parse_args(arguments).check
    root = root or Path.cwd()
    try:
        if not check:
            print(f"filed {', '.join(file_results(root))}")
        text = (root / PAGE).read_text(encoding="utf-8")
        again = BLOCK.sub(lambda block: f"{block[1]}{make(root, block['kind'], block['data'])}{block[5]}", text)
        if check and again != text:
            raise MethodsError(f"{PAGE}'s tables are not what {FOLDER}/ holds; run `make methods`")
        with whole_file(root / PAGE) as path:
            path.write_text(again, encoding="utf-8")
    except (MethodsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def file_results(root: Path) -> list[str]:
    """Puts the current scores and runs to where they stay, beside those of other trainings; gives the files' names."""
    with open(root / RUNS, newline="", encoding="utf-8") as file:
        found = {(entry["data"], entry["seed"]) for entry in csv.DictReader(file)}
    if len(found) != 1:
        raise MethodsError(f"{RUNS} holds {len(found)} pairs of data set and seed; one is filed at a time")
    data, seed = found.pop()
    targets = {kind: root / FOLDER / f"{data}.seed{seed}.{kind}.csv" for kind in ("scores", "runs")}
    targets["scores"].parent.mkdir(parents=True, exist_ok=True)
    _write(targets["scores"], csv_lines(root / SCORES), COLUMNS)
    _write(targets["runs"], _with_costs(root), [*RUN_COLUMNS, *COSTS])
    return [target.relative_to(root).as_posix() for target in targets.values()]


def _with_costs(root: Path) -> list[dict[str, str]]:
    """The table of runs with what each training cost, which the pipeline keeps in a file of its own."""
    costs = {}
    if (root / COST_TABLE).exists():
        costs = {line["run"]: line for line in csv_lines(root / COST_TABLE) if line["stage"] == "training"}
    found = []
    for line in csv_lines(root / RUNS):
        own = costs.get(line["run"], {})
        found.append({**line, **own, "seconds": own.get("training_seconds", "")})
    return found


def _write(target: Path, lines: list[dict[str, str]], columns: Sequence[str]) -> None:
    """Lines of some runs to a file; those of other runs stay there, before them."""
    runs = {line["run"] for line in lines}
    kept = [line for line in (csv_lines(target) if target.exists() else []) if line["run"] not in runs]
    with whole_file(target) as path, open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *lines])


def make(root: Path, kind: str, data: str) -> str:
    """One table and the line under it. `data` is the name of a sweep where the kind is one."""
    if kind == "sweep":
        if not (table_of_sweep := sweeps.made(root, data, root / FOLDER)):
            raise MethodsError(f"{PAGE} has a table of the sweep {data}, which has not been run: covey sweep {data}")
        return table_of_sweep
    entries = read(root / FOLDER, data)
    if not entries:
        raise MethodsError(f"{PAGE} has a table of {data}, but {FOLDER}/ holds no run of it: run it with --all")
    if kind == "measures":
        written = measures(root / FOLDER, data)
    elif kind == "recipe":
        written = recipe(entries, csv_lines(root / FOLDER / f"{data}.before.csv"))
    else:
        written = {"transfer": transfer, "refits": refits, "costs": costs}[kind](entries)
    seeds = sorted({facts["seed"] for entry in entries for facts in entry.facts})
    machine = sorted(
        {f"{facts['device']} {facts['precision']}" for e in entries for facts in e.facts if facts["device"]}
    )
    told = caption(seeds, [f"trained on {', '.join(machine)}"], f"{FOLDER}/{data}.seed\\*.csv")
    return f"{written}\n\n{told}\n"


def read(folder: Path, data: str) -> list[Entry]:
    """The runs of a data set, in the order of the first file."""
    scores: dict[str, dict[tuple[str, str], Values]] = {}
    facts: dict[str, list[dict[str, str]]] = {}
    ranks: dict[str, Values] = {}
    for path in sorted(folder.glob(f"{data}.seed*.runs.csv")):
        for line in csv_lines(path):
            facts.setdefault(line["run"], []).append(line)
        for line in csv_lines(path.with_name(path.name.replace(".runs.", ".scores."))):
            if line["metric"] == "top1" and line["value"]:
                own = scores.setdefault(line["run"], {})
                own.setdefault((line["protocol"], line["layer"]), []).append(100 * float(line["value"]))
            if (line["metric"], line["layer"]) == ("rankme", KNN[1]) and line["value"]:
                ranks.setdefault(line["run"], []).append(float(line["value"]))
    return [
        Entry(run, lines[0]["source"], scores.get(run, {}), lines, ranks.get(run, [])) for run, lines in facts.items()
    ]


def transfer(entries: Sequence[Entry]) -> str:
    """Each pretraining, layer by layer, with its first refit beside it; the best of each column in bold."""
    first = _first_refits(entries)
    ranks = {family: place for place, family in enumerate(FAMILIES)}
    shown = sorted((entry for entry in entries if not entry.source), key=lambda entry: ranks[entry.family])
    rows: list[list[Values | None]] = []
    for entry in shown:
        refit = first.get(entry.name)
        after = [None] * 3 if refit is None else [_best(refit), refit.linear(LAYERS[-1]), refit.scores.get(KNN)]
        rows.append([_best(entry), *map(entry.linear, LAYERS), entry.scores.get(KNN), *after])
    ours = [row for row, entry in zip(rows, shown, strict=True) if entry.family != "control"]
    tops = [max((mean(row[place]) for row in ours if row[place]), default=None) for place in range(len(rows[0]))]
    body = []
    for entry, row in zip(shown, rows, strict=True):
        texts = list(map(with_deviation, row))
        if entry.family != "control":
            bold = [values is not None and mean(values) == top for values, top in zip(row, tops, strict=True)]
            texts = [f"**{cell}**" if best else cell for cell, best in zip(texts, bold, strict=True)]
        layer = entry.best[0] if entry.best else ""
        body.append([entry.name, entry.family, f"{texts[0]} {layer}".strip(), *texts[1:]])
    heads = ["top-1, %", "family", "best layer", *LAYERS, "k-NN"]
    return table([*heads, "ClusterFit: best layer", "ClusterFit: res5", "ClusterFit: k-NN"], body)


def refits(entries: Sequence[Entry]) -> str:
    """Every refit beside its source, and what it adds to it."""
    by_name = {entry.name: entry for entry in entries}
    body = []
    for entry in entries:
        if entry.source:
            source = by_name[entry.source]
            pairs = [(_best(entry), _best(source)), (entry.linear("res5"), source.linear("res5"))]
            pairs.append((entry.scores.get(KNN), source.scores.get(KNN)))
            cells = [f"{with_deviation(own)} ({gain(own, other)})" for own, other in pairs]
            body.append([entry.name, entry.source, entry.facts[0]["method"], *cells])
    return table(["refit", "source", "trained by", "best layer (gain)", "res5 (gain)", "k-NN (gain)"], body)


def recipe(entries: Sequence[Entry], before: Sequence[Mapping[str, str]]) -> str:
    """Each run that was measured `before`, then and now, and what its first refit adds now."""
    then: dict[str, dict[tuple[str, str], Values]] = {}
    for line in before:
        then.setdefault(line["run"], {})[line["protocol"], line["layer"]] = [100 * float(line["value"])]
    first = _first_refits(entries)
    last = ("linear", LAYERS[-1])
    body = []
    for entry in entries:
        if entry.name in then:
            cells = []
            for what in (last, KNN):
                old, new = then[entry.name].get(what), entry.scores.get(what)
                refit = first[entry.name].scores.get(what) if entry.name in first else None
                cells += [with_deviation(old), f"{with_deviation(new)} ({gain(new, old)})", gain(refit, new)]
            body.append([entry.name, *cells])
    heads = [
        f"{layer}{column}" for layer in ("res5", "k-NN") for column in (" before", " now (gain)", ": ClusterFit adds")
    ]
    return table(["top-1, %", *heads], body)


def costs(entries: Sequence[Entry]) -> str:
    """What each training was: its paper, its chance level and last loss, RankMe, its time and memory."""
    body = []
    for entry in entries:
        seen, views = entry.number("samples_seen"), entry.number("views_seen")
        memory = entry.number("peak_memory")
        body.append(
            [
                entry.name,
                entry.facts[0]["method"],
                entry.facts[0]["reference"] or "–",
                "–" if seen is None else f"{seen:,.0f}",
                "–" if views is None else f"{views:,.0f}",
                *(_plain(entry.number(name), 3) for name in ("chance", "loss")),
                _plain(mean(entry.rankme) if entry.rankme else None, 1),
                *(_plain(entry.number(name), 0) for name in ("samples_per_second", "seconds")),
                "–" if memory is None else f"{memory / 2**20:,.0f}",
            ]
        )
    heads = ["run", "method", "reference", "samples seen", "views seen", "chance", "last loss", "RankMe"]
    return table([*heads, "samples/s", "seconds", "peak memory, MiB"], body)


def _first_refits(entries: Sequence[Entry]) -> dict[str, Entry]:
    """The source -> the first refit of it."""
    return {entry.source: entry for entry in reversed(entries) if entry.source}


def gain(own: Values | None, other: Values | None) -> str:
    """The difference of the means, with its sign."""
    return f"{mean(own) - mean(other):+.1f}".replace("-", "−") if own and other else "–"


def _best(entry: Entry) -> Values | None:
    return entry.best[1] if entry.best else None


def _plain(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
