"""What a protocol states of itself for reports, read from its source without importing it.

A protocol's file states these constants at its top, each written out as a literal:

TITLE: its short name, for the head of a column.
READING: how to read its numbers, in a sentence or two.
HEADLINE: the metric that runs are ranked by, more is better; a pattern stands for the first metric that matches it, and
    None for a protocol by which nothing is ranked.
UNITS: metric -> unit, one of UNITS below. A metric may be a pattern ("recall*"); the first that matches counts. Every
    metric that the protocol gives has one.
CURVES, where it gives curves: what they show.
MAP, where its metrics are shown as a map with a row a run and a column a metric: what the map shows. Each metric's name
    begins with that of the first.
AGAINST, where its first metric is shown against the headline: what that plot shows.
WORDS: metric -> what it is called, where that is not its name with blanks.
EVERY = True, where a page shows the pictures of all pretrained runs, and not of the best alone: they differ in kind.
LEADS = True, for the one protocol whose column comes first.
ESTIMATES = True, for a protocol that uses no labels and only estimates how well a representation transfers: its column
    comes last, so that it ranks runs only where no other does.

Nothing heavy is imported: some protocols import torch, and the table at the end of a run must not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1]
SHARE, DEGREES, NUMBER = "share", "degrees", "number"
UNITS = (SHARE, DEGREES, NUMBER)
"""A share of 1, shown as per cent; an angle; anything else, shown as it is."""


@dataclass(frozen=True)
class Statement:
    """What one protocol states; the defaults stand for what its file leaves out. name: that of its file."""

    name: str
    title: str
    reading: str
    headline: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    curves: str = "A line a run; N_cf dashed."
    map: str = ""
    against: str = ""
    every: bool = False
    leads: bool = False
    estimates: bool = False
    words: Mapping[str, str] = field(default_factory=dict)

    def unit(self, metric: str) -> str:
        """The unit of a metric; NUMBER for one that the protocol does not know."""
        return next((unit for known, unit in self.units.items() if fnmatchcase(metric, known)), NUMBER)

    def knows(self, metrics: Iterable[str]) -> bool:
        """Whether the protocol has a unit for each of some metrics."""
        return all(any(fnmatchcase(metric, known) for known in self.units) for metric in metrics)

    def headline_among(self, metrics: Iterable[str]) -> str | None:
        """The first of some metrics that is the headline; None where none is."""
        return next((m for m in metrics if self.headline is not None and fnmatchcase(m, self.headline)), None)


FIELDS = frozenset(name.upper() for name in Statement.__dataclass_fields__ if name != "name")
"""The constants that state a protocol."""


def names() -> list[str]:
    """Every protocol, by the name of its file."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


@lru_cache(maxsize=256)
def statement(name: str) -> Statement:
    """What a protocol states; of an unknown one, that its file is the place to look."""
    path = FOLDER / f"{name}.py"
    stated = _constants(path.read_text()) if path.is_file() else {}
    stated.setdefault("title", name.replace("_", " "))
    stated.setdefault("reading", f"What it measures is told in ssl_models/protocols/{name}.py.")
    return Statement(name, **stated)


def giving(metrics: Iterable[str]) -> Statement | None:
    """The first protocol that gives such metrics, its headline among them; None where there is none."""
    wanted = list(metrics)
    stated = (statement(name) for name in names())
    return next((each for each in stated if each.knows(wanted) and each.headline_among(wanted)), None)


def _constants(text: str) -> dict[str, Any]:
    """The constants of a source that have the names of Statement's fields, in capitals."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in FIELDS:
            found[node.targets[0].id.lower()] = ast.literal_eval(node.value)
    return found
