"""The board of verdicts: each study's outcome as a file, and all of them as one page."""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.process.duration import duration
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.stage_kinds import STUDY_FILES
from tasks.studies import judging, numbers, study
from tasks.sweeps import sweep

PAGE = Path(paths.REPORT).with_name("studies.html")
NOT_RUN = "not run"
VERDICTS = (study.REPRODUCED, study.NOT_REPRODUCED, study.UNDECIDED, NOT_RUN)
MARKS = dict(zip(VERDICTS, ("✓", "✗", "?", "–"), strict=True))
SAYS = {
    judging.HOLDS: "It holds.",
    judging.FAILS: "It fails.",
    judging.NEGLIGIBLE: "It is negligible",
    judging.OPEN: "It is open",
}
MOST_TOLD = 6
"""Rules that the board lists one by one."""
COUNTED = {judging.HOLDS: "hold", judging.FAILS: "fail", judging.NEGLIGIBLE: "negligible", judging.OPEN: "open"}
ONE_SEED = "It is open: one seed gives no interval."
NO_NUMBER = "It is open: the difference is no number."


def file(project: Project, outcome: dict[str, Any]) -> Path:
    """Keeps an outcome as results/studies/NAME.json, with the machine that it comes from."""
    path = project.root / paths.STUDIES / f"{outcome['name']}.json"
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    files.write_json(path, _without_nan({**outcome, "machine": machine}))
    return path


def outcomes(project: Project) -> list[dict[str, Any]]:
    """Every outcome that is kept, by name. Raises ValueError naming a file that cannot be read."""
    found = []
    for path in sorted((project.root / paths.STUDIES).glob("*.json")):
        try:
            found.append(files.read_json(path))
        except ValueError as error:
            raise ValueError(f"{path} is no outcome of a study ({error}); delete it and run the study again") from error
    return found


def rule_text(rule: dict[str, Any]) -> str:
    """ "+0.031 (+0.012 to +0.050) holds"."""
    if rule["difference"] is None:
        return f"no number, {rule['outcome']}"
    alone = "no interval" if "association" in rule else "one seed"
    return f"{_number(rule['difference'])} ({_ends(rule) or alone}) {rule['outcome']}"


def told(outcome: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each rule and its result; where there are more than MOST_TOLD, one line that counts them."""
    rules = outcome["rules"]
    if len(rules) <= MOST_TOLD:
        return [(rule["rule"], rule_text(rule)) for rule in rules]
    counts = Counter(rule["outcome"] for rule in rules)
    results = ", ".join(f"{counts[outcome]} {word}" for outcome, word in COUNTED.items() if counts[outcome])
    return [(f"{len(rules)} rules, such as {rules[0]['rule']}", results)]


def write(project: Project) -> Path:
    """The page, results/studies.html. It is made of the studies and their outcomes alone, and so are its bytes."""
    page = render(project)
    with files.whole_file(project.root / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="")
    return project.root / PAGE


def render(project: Project) -> str:
    """The page's text: the board, and a section for each study that has an outcome."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "reporting" / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    entries = board(project)
    return environment.get_template("studies.html.j2").render(
        entries=[_shown(place, entry) for place, entry in enumerate(entries, start=1)],
        summary=summary(entries),
        marks=MARKS,
        report=Path(paths.REPORT).name if (project.root / paths.REPORT).exists() else "",
        duration=duration,
    )


def board(project: Project) -> list[dict[str, Any]]:
    """An entry a study, by name: its outcome, or what its file says where it has not been run."""
    found = {outcome["name"]: outcome for outcome in outcomes(project)}
    for name in study.known(project):
        if name not in found:
            content = sweep.read(project, STUDY_FILES, name, "study")
            said = {key: str(content.get(key, "")) for key in ("claim", "source", "remark")}
            found[name] = {"name": name, "title": str(content.get("title", name)), "verdict": NOT_RUN, **said}
    return [found[name] for name in sorted(found)]


def summary(entries: Sequence[Mapping[str, Any]]) -> str:
    """ "Of 4 claims, 2 are reproduced, 1 is undecided and 1 is not run."."""
    if not entries:
        return "There is no study yet."
    counts = Counter(entry["verdict"] for entry in entries)
    parts = [f"{counts[v]} {'is' if counts[v] == 1 else 'are'} {v}" for v in VERDICTS if counts[v]]
    told = " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
    return f"Of {len(entries)} claim{'s' if len(entries) > 1 else ''}, {told}."


def in_words(rule: Mapping[str, Any]) -> str:
    """ "The difference is +0.031, 95 % interval +0.012 to +0.050, p 0.004, corrected 0.008. It holds."."""
    if rule["difference"] is None:
        return NO_NUMBER
    ends = _ends(rule)
    words = f"The difference is {_number(rule['difference'])}" + (f", 95 % interval {ends}" if ends else "")
    if rule.get("p") is not None:
        words += f", p {rule['p']:.3f}, corrected {rule['corrected']:.3f}"
    return f"{words}. {SAYS[rule['outcome']] + _why(rule) if ends else ONE_SEED}"


def _why(rule: Mapping[str, Any]) -> str:
    """What is lacking to an open rule, and how small a negligible difference is shown to be."""
    if rule["outcome"] == judging.NEGLIGIBLE:
        return f": less than {rule['negligible']:g} either way, corrected p {rule['p_negligible']:.3f} (two tests)."
    if rule["outcome"] != judging.OPEN:
        return ""
    if rule.get("at_floor"):
        return f": no measure of it lies {100 * judging.MARGIN:.0f} points above what an untrained network scores."
    told = {"seeds_needed": "tell a difference of this size", "seeds_negligible": "show that it is negligible"}
    needed = [f"{rule[key]} seeds would {what}" for key, what in told.items() if rule.get(key)]
    return f": {', and '.join(needed)} with a probability of {judging.POWER}." if needed else "."


def associations(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The rows of a table of rank correlations, of those rules that are over encoders."""
    return [
        {
            **{key: numbers.label(one[key]) for key in ("place", "score", "with")},
            "without": ", ".join(one["without"]),
            "rho": _number(one["rho"]),
            "ends": _ends(one),
            "chance": _ends({"low": one["chance"][0], "high": one["chance"][1]}),
            "tau": _number(one["tau"]),
            "p": "" if one["p"] is None else f"{one['p']:.4f}",
            "encoders": f"{one['encoders']} in {one['families']} families",
            "left_out": ", ".join(one["left_out"]),
            "outcome": rule.get("outcome", ""),
        }
        for rule in rules
        if (one := rule.get("association"))
    ]


def _shown(place: int, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with its place on the board and, where it has been run, its figure and its rules in words."""
    if entry["verdict"] == NOT_RUN:
        return {**entry, "place": place, "figure": "", "told": [], "rules": []}
    from tasks.studies import association_plots, plots

    rules = [{**rule, "words": in_words(rule)} for rule in entry["rules"] if "association" not in rule]
    draw = plots.figure if len(rules) == len(entry["rules"]) else association_plots.figure
    figure = draw(entry, f"study-{place}")
    tables = {"associations": associations(entry["rules"]), "beside": associations(entry.get("beside", ()))}
    return {**entry, **tables, "place": place, "figure": figure, "told": told(entry), "rules": rules}


def _ends(rule: Mapping[str, Any]) -> str:
    return "" if rule["low"] is None else f"{_number(rule['low'])} to {_number(rule['high'])}"


def _number(value: float | None) -> str:
    return "no number" if value is None else f"{value:+.3f}"


def _without_nan(content: Any) -> Any:
    """The same with None for every number that is none, which JSON does not have: a correlation of equal values."""
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
