"""`covey report`: the table of scores, the answer, and where the page lies."""

from __future__ import annotations

from flows.errors import refusals
from flows.opening import opened
from flows.run.report import shown, table_and_answer
from tasks.project import paths
from tasks.settings.schema import ParameterError


def report() -> None:
    """Prints the table of scores, what it says, what to try next, and the path of the full report, a single HTML page that works offline.

    It says first whose scores these are, whether they are up to date, and which are missing and why.

    Examples:

        covey report

        xdg-open "$(covey report | tail -n 1)"
    """
    with refusals():
        project = opened(writes=False)
        path = project.root / paths.REPORT
        if not path.exists():
            raise ParameterError(f"there is no report yet ({path}); `covey run` writes it.")
        print(f"{shown(project)}\n{table_and_answer(project)}\n\n{path}")
