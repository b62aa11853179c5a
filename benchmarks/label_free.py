"""`python -m benchmarks.label_free [--check]`: writes what label-free scores are worth, a table of docs/photographs.md.

It stands between `<!-- label_free -->` and `<!-- /table -->`, and is made of results/studies/label_free.json alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.page import table
from tasks.process.files import whole_file

PAGE, OUTCOME = "docs/photographs.md", "results/studies/label_free.json"
BLOCK = re.compile(r"(<!-- label_free -->\n)(.*?)(<!-- /table -->)", re.DOTALL)
PLACES = {"world": "the world", "cifar10": "CIFAR-10"}
AGAINST = {"linear": "linear", "knn": "k-NN"}


def main(arguments: list[str], root: Path | None = None) -> int:
    """0, or 1 and a line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_free", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page's table is another")
    check, place = parser.parse_args(arguments).check, (root or Path.cwd()) / PAGE
    before = place.read_text(encoding="utf-8")
    after = written(before, json.loads((place.parents[1] / OUTCOME).read_text()))
    if check and after != before:
        print(f"error: the table of {PAGE} is not what {OUTCOME} holds; run `make tables`", file=sys.stderr)
        return 1
    if not check:
        with whole_file(place) as path:
            path.write_text(after, encoding="utf-8")
    print(f"the table of {PAGE}: {'is what ' + OUTCOME + ' holds' if check else 'written'}")
    return 0


def written(page: str, outcome: dict[str, Any]) -> str:
    """The page with the table of this outcome."""
    return BLOCK.sub(lambda found: found[1] + markdown(outcome) + found[3], page)


def markdown(outcome: dict[str, Any]) -> str:
    """A row a score; each cell the rank correlation over all encoders, with the interval over families."""
    found = {
        (one["score"], one["with"], one["place"]): one for rule in outcome["rules"] if (one := rule.get("association"))
    }
    scores = sorted({score for score, _, _ in found}, key=lambda score: -min(_rhos(found, score)))
    heads = ["rank correlation with", *(f"{AGAINST[other]}, {PLACES[place]}" for place in PLACES for other in AGAINST)]
    rows = [
        [f"`{score}`", *(_cell(found[score, other, place]) for place in PLACES for other in AGAINST)]
        for score in scores
    ]
    first = next(iter(found.values()))
    note = f"{first['encoders']} encoders of {first['families']} families, one seed; 95 % intervals over families"
    return f"{table(heads, rows)}\n\n*{note}; from {OUTCOME}*\n"


def _rhos(found: dict[tuple[str, str, str], dict[str, Any]], score: str) -> list[float]:
    return [float(one["rho"]) for (name, _, _), one in found.items() if name == score]


def _cell(one: dict[str, Any]) -> str:
    """ "+0.34 (-0.13 to +0.65)"."""
    return f"{one['rho']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
