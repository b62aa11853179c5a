"""The order of test files: those that take minutes go first, so that the last minute does not belong to one worker."""

from __future__ import annotations

import pytest

LONG = ("test_kill", "test_stage", "test_experiments", "test_every_method_learns", "test_sweep", "test_declared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))
