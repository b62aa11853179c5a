"""The report, as `covey run` and `covey report` make and show it."""

from __future__ import annotations

import shutil
import sys

from flows.opening import refuse_unwritable
from flows.run import plan
from flows.run.jobs import Outcome
from tasks.project import paths
from tasks.project.project import Project
from tasks.reporting import imprint
from tasks.reporting.imprint import NOT_APPLICABLE, Imprint
from tasks.settings.schema import ParameterError
from tasks.stage.apart import CallFailed, call
from tasks.staleness.dvc_errors import PipelineError, StageFailed


def make_of_what_there_is(project: Project, outcome: Outcome) -> None:
    """Makes the page without the stages that failed, if it was to be made; it says that it is incomplete.

    This is no stage: DVC cannot run one whose inputs are missing, and must not record what was made without them.
    """
    if plan.REPORT not in outcome.skipped:
        return
    absent = {name: reason for name, reason in outcome.absent.items() if name != plan.REPORT}
    try:
        call(project, "tasks.report:write_incomplete", absent)
    except CallFailed as error:
        print(f"The report of what there is could not be made: {error}", file=sys.stderr)


def keep(project: Project) -> None:
    """Copies the page of the selected data set to one that the next data set's page does not replace."""
    own = imprint.read(project)
    if own is not None and project.places.data in own.data:
        page = project.root / paths.report_of(project.places.data)
        shutil.copyfile(project.root / paths.REPORT, page)
        print(f"Kept as: {page}\n")


def after_run(project: Project, outcome: Outcome) -> str:
    """The table of the report that a run has made and the path of its page, or that it made none."""
    own, page = imprint.read(project), project.root / paths.REPORT
    partly = plan.REPORT in outcome.skipped and own is not None and own.incomplete
    if not partly and plan.REPORT not in outcome.ended:
        return "The report was not updated; `covey run report` updates it."
    inapplicable = _gaps(own, only=NOT_APPLICABLE)
    unchanged = f"{paths.SCORES} and {paths.RUNS} are of an earlier report.\n" if own and own.lacks_scores else ""
    title = "Report of what there is" if partly else "Report"
    return f"\n{table_and_answer(project)}\n\n{inapplicable}{unchanged}{title}: {page}"


def table_and_answer(project: Project) -> str:
    """The table of scores, and below it what it says and what to try next, where the report is whole."""
    from tasks.reporting.answer import answer_lines
    from tasks.reporting.terminal import terminal_table

    said = answer_lines(project)
    return "\n".join([terminal_table(project), *([""] if said else []), *said])


def shown(project: Project) -> str:
    """Whose numbers the report shows, what it lacks, and whether they are those of the project as it is.

    No fault of the project keeps its report from being shown.
    """
    own = imprint.read(project)
    if own is None:
        return f"{_standing(project, ())}\n"
    lines = f"Data set {', '.join(own.data)}; made {own.made_at}.\n"
    if own.incomplete:
        lines += "Incomplete: stages had failed, and it was made of what there was.\n"
    return f"{lines}{_standing(project, own.data)}\n{_gaps(own)}"


def _standing(project: Project, data: tuple[str, ...]) -> str:
    """How the report of these data sets stands to the project, in a sentence; () for those that are not known."""
    try:
        selected = project.places.data
        if data and selected not in data:
            return f"The selected data set is another, {selected}: `covey run` makes its report."
        refuse_unwritable(project)  # DVC writes a lock even to answer
        states = plan.standing(project)
    except (ParameterError, PipelineError, StageFailed) as error:
        return f"Whether it is up to date cannot be told: {str(error).splitlines()[0]}"
    behind = sum(entry.state != "fresh" for entry in states.values())
    if behind:
        return f"Stale: {behind} of {len(states)} stages are out of date (`covey status`); `covey run` runs them."
    return "Up to date."


def _gaps(own: Imprint | None, only: str = "") -> str:
    """What has no numbers and why, one reason a line, each ended by a line break."""
    found = own.gaps if own else ()
    return "".join(f"{gap.text}\n" for gap in found if only in ("", gap.state))
