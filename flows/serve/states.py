"""The final states of scheduled runs on Prefect's page."""

from __future__ import annotations

from typing import Any

from prefect.states import Completed, Failed

from flows.command import Ending

MISSED, SKIPPED, STOPPED = "Missed", "Skipped", "Stopped"
NOTHING_STALE, REGRESSION = "Nothing stale", "Regression"


def state_of(ending: Ending | None) -> Any:
    """The state for the result of `covey run`; None stands for a run with nothing to do."""
    if ending is None:
        return Completed(name=NOTHING_STALE, message="Every stage is up to date.")
    outcome = ending.outcome
    if outcome.failures:
        left = f"; skipped because of that: {', '.join(outcome.skipped)}" if outcome.skipped else ""
        return Failed(message=f"failed: {', '.join(failure.name for failure in outcome.failures)}{left}")
    if ending.worse:
        return Failed(name=REGRESSION, message="worse than published: " + "; ".join(ending.worse))
    return Completed(message=f"{len(outcome.ended)} stages brought up to date.")
