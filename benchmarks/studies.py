"""`python -m benchmarks.studies [--check]`: writes the README's board of studies.

It stands between `<!-- studies -->` and `<!-- /table -->`, and is made of results/studies/*.json alone, so that anyone
can check it without running anything.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.page import table
from tasks.process.files import whole_file
from tasks.project.project import Project
from tasks.reporting.page import duration
from tasks.studies import board

BLOCK = re.compile(r"(<!-- studies -->\n)(.*?)(<!-- /table -->)", re.DOTALL)
HEADS = ["claim", "verdict", "rules: difference (95 % interval)", "seeds", "time"]
PLACE = "add the lines <!-- studies --> and <!-- /table --> where it shall stand"


class BoardError(RuntimeError):
    """The board cannot be made, or is not what the outcomes give; the text says which and what to do."""


def main(arguments: list[str], root: Path | None = None) -> int:
    """0, or 1 and a line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the README's board is another")
    check = parser.parse_args(arguments).check
    try:
        print((verify if check else update)(root or Path.cwd()))
    except (BoardError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def update(root: Path) -> str:
    """Writes the board anew; says what it did. Without a place for it and without an outcome there is nothing to do."""
    readme, outcomes = _read(root)
    if not BLOCK.search(readme):
        return "README.md has no board of studies, and results/ holds none"
    with whole_file(root / "README.md") as path:
        path.write_text(_rewritten(readme, outcomes), encoding="utf-8")
    return f"README.md's board of {len(outcomes)} studies: written"


def verify(root: Path) -> str:
    """Raises BoardError if the README's board is not what the outcomes give."""
    readme, outcomes = _read(root)
    if _rewritten(readme, outcomes) != readme:
        raise BoardError("README.md's board of studies is not what results/ holds; run `make tables`")
    return "README.md's board of studies is what results/ holds"


def markdown(outcomes: list[dict[str, Any]]) -> str:
    """A row a study, by name."""
    if not outcomes:
        return "*No study has been run yet.*\n"
    machines = sorted({str(outcome.get("machine", "unknown")) for outcome in outcomes})
    body = [_row(outcome) for outcome in outcomes]
    where = ", ".join(map(_text, machines))
    return f"{table(HEADS, body)}\n\n*differences in the units of the measures; on {where}; from results/studies/*\n"


def _row(outcome: Mapping[str, Any]) -> list[str]:
    rules = "<br>".join(f"{_text(rule)}: {text}" for rule, text in board.told(outcome))
    seeds = f"{len(outcome['seeds'])}, {outcome['setting']}"
    return [_text(outcome["claim"]), f"**{outcome['verdict']}**", rules, seeds, duration(outcome["seconds"])]


def _text(words: str) -> str:
    """Words as a cell shows them: nothing in them ends the cell or counts as markup."""
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", " ".join(words.split()))


def _read(root: Path) -> tuple[str, list[dict[str, Any]]]:
    """The README, and every outcome. Raises BoardError where there are outcomes and no place for them."""
    path = root / "README.md"
    if not path.exists():
        raise BoardError(f"there is no {path}")
    readme, outcomes = path.read_text(encoding="utf-8"), board.outcomes(Project(root))
    if outcomes and not BLOCK.search(readme):
        raise BoardError(f"{path} has no place for the board of studies: {PLACE}")
    return readme, outcomes


def _rewritten(readme: str, outcomes: list[dict[str, Any]]) -> str:
    return BLOCK.sub(lambda block: f"{block[1]}{markdown(outcomes)}{block[3]}", readme)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
