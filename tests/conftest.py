"""The servers of a test session: at most one of each kind, started by the first test that needs it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module

import pytest

from tasks.stage import fork_server
from tests import servers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files marked `long` first, so that no process is left with one of them in the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def fork(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the session's fork server."""
    return servers.shared("fork", tmp_path_factory)


@pytest.fixture(scope="session")
def prefect_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the session's Prefect server."""
    return servers.shared("prefect", tmp_path_factory)


@pytest.fixture
def prefect(prefect_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the session's Prefect server, for flows in this process and in those that it starts.

    Prefect reads the environment only as it is imported, which an earlier test file may have done.
    """
    for name, value in prefect_environment.items():
        monkeypatch.setenv(name, value)
    import_module("prefect.main")  # sets up logging
    from prefect.logging.handlers import PrefectConsoleHandler
    from prefect.settings import PREFECT_API_URL, temporary_settings

    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "prefect"]:
        logger = logging.getLogger(name)  # its console handler writes to a stream that pytest closes
        logger.handlers = [one for one in logger.handlers if not isinstance(one, PrefectConsoleHandler)]
    with temporary_settings({PREFECT_API_URL: prefect_environment["PREFECT_API_URL"]}):
        yield prefect_environment["PREFECT_API_URL"]


@pytest.fixture
def shared_servers(fork: dict[str, str], prefect: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has `covey` in this process take the session's servers instead of starting its own; Prefect's address."""
    for name, value in fork.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(fork_server, "running", lambda *_, **__: nullcontext(fork))
    return prefect
