"""What a report's page says of itself: whose numbers it shows, when it was made, and which it lacks and why.

It stands in a <meta> element at the head of the page, so that it cannot be parted from the page. This module imports
nothing heavy: the command line reads it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from tasks.project.paths import REPORT
from tasks.project.project import Project

FAILED, SKIPPED, STALE, NOT_APPLICABLE = "failed", "skipped", "stale", "not applicable"
NOT_FOUND = "not found"
STATES = (FAILED, SKIPPED, STALE, NOT_APPLICABLE)
"""failed, skipped: no number. stale: there is one, but of earlier inputs, so it is left out. not applicable: final."""

MAP = "atlas"
WITHOUT_SCORES = frozenset((MAP,))
"""Stages that the scores do not depend on."""
Absent = Mapping[str, tuple[str, str]]
"""Stage -> the state and the reason why its record is not shown."""

HEAD_LINES = 20
MOST_NAMED = 4


@dataclass(frozen=True)
class Gap:
    """Stages whose numbers are missing for one reason. state: one of STATES."""

    state: str
    why: str
    stages: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line of plain text: "skipped         extract@a, cluster@b: because pretrain@a failed"."""
        left = len(self.stages) - MOST_NAMED
        named = ", ".join(self.stages[:MOST_NAMED]) + (f" and {left} more" if left > 0 else "")
        return f"{self.state:<14}  {named}: {self.why}"


@dataclass(frozen=True)
class Imprint:
    """data: the names of the data sets. made_at: as on the page."""

    data: tuple[str, ...]
    made_at: str
    gaps: tuple[Gap, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether stages failed: the page was then made of what there was, and is no output of the pipeline."""
        return any(gap.state != NOT_APPLICABLE for gap in self.gaps)

    @property
    def lacks_scores(self) -> bool:
        """Whether scores are missing because stages failed: the tables in results/ are then of an earlier report."""
        return any(gap.state != NOT_APPLICABLE and set(gap.stages) - WITHOUT_SCORES for gap in self.gaps)

    @property
    def text(self) -> str:
        """The content of the <meta> element."""
        return json.dumps(asdict(self))


def lacking(record: Mapping[str, Any]) -> tuple[str, str]:
    """Why a record holds no numbers: in a word or two, and in full. Both are empty where it holds some."""
    if not record:
        return NOT_FOUND, "its record was not found"
    if "not_applicable" in record:
        return NOT_APPLICABLE, str(record["not_applicable"])
    return str(record.get("absent", "")), str(record.get("why", ""))


def gaps(absent: Absent) -> tuple[Gap, ...]:
    """One for each reason, the failed ones first."""
    found: dict[tuple[str, str], list[str]] = {}
    for stage, reason in sorted(absent.items(), key=lambda item: STATES.index(item[1][0])):
        found.setdefault((reason[0], reason[1]), []).append(stage)
    return tuple(Gap(state, why, tuple(stages)) for (state, why), stages in found.items())


def read(project: Project) -> Imprint | None:
    """That of the project's page; None where there is no page, or one without an imprint."""
    path = project.root / REPORT
    if not path.exists():
        return None
    with open(path, encoding="utf-8") as file:
        found = _found(islice(file, HEAD_LINES))
    if not found:
        return None
    content = json.loads(html.unescape(found))
    lacks = tuple(Gap(gap["state"], gap["why"], tuple(gap["stages"])) for gap in content["gaps"])
    return Imprint(tuple(content["data"]), content["made_at"], lacks)


def _found(lines: Iterable[str]) -> str:
    found = (re.fullmatch(r'<meta name="covey" content="(.*)">', line.strip()) for line in lines)
    return next((match[1] for match in found if match), "")
