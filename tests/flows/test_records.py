"""The run of MLflow around a block ends as the block does."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import pytest

from flows.run import records
from tasks.project.project import Project


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be carried out apart."""
    made: list[tuple[Any, ...]] = []

    def call(_: Project, function: str, *arguments: Any) -> str:
        made.append((function.rpartition(":")[2], *arguments))
        return "the-run"

    monkeypatch.setattr(records, "call", call)
    return made


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (RuntimeError("too bad"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(1), "KILLED"),
    ],
)
def test_a_run_ends_as_its_block_does(tmp_path, calls, error, status):
    passed_on = pytest.raises(type(error)) if error else nullcontext()
    with passed_on, records.opened(Project(tmp_path), "everything", {"prefect_run": "abc"}) as run_id:
        assert run_id == "the-run"
        if error is not None:
            raise error
    assert calls == [("start", "everything", {"prefect_run": "abc"}, os.getpid()), ("finish", "the-run", status)]


def test_settings_and_numbers_are_added_to_a_run_at_work(tmp_path, calls):
    records.describe(Project(tmp_path), "the-run", {"seed": 1}, {"top1": 0.5})
    assert calls == [("describe", "the-run", {"seed": 1}, {"top1": 0.5})]
