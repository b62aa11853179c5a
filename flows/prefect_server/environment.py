"""Environment variables and files that Prefect and MLflow find: set for this process and its children."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from flows.errors import ServerError
from tasks.process import sqlite_file
from tasks.project.project import Project

LOOPBACK = "127.0.0.1"
STARTUP_SECONDS = 120
DATABASES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
"""The variables with which a user chooses another database for Prefect."""


def settle(project: Project) -> None:
    """Sets Prefect's environment variables. Variables of the user are kept.

    Raises:
        ServerError: Prefect's client cannot work with a proxy that the environment names.
    """
    go_round_proxies()
    home = project.state / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)
    for name, value in {
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(STARTUP_SECONDS),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    }.items():
        os.environ.setdefault(name, value)


def go_round_proxies() -> None:
    """Has no client ask a proxy for a server on this machine, where Covey's own servers are.

    The two spellings are both set, because libraries differ in which one they read.

    Raises:
        ServerError: a proxy that httpx, which Prefect's client is made of, cannot even be told to leave out.
    """
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for name in ("no_proxy", "NO_PROXY"):
        known = [host.strip() for host in (os.environ.get(name) or given).split(",") if host.strip()]
        os.environ[name] = ",".join([*known, *(host for host in (LOOPBACK, "localhost") if host not in known)])
    if "*" in os.environ["no_proxy"].split(","):
        return
    proxies = getproxies()
    for kind in ("http", "https", "all"):
        proxy = proxies.get(kind, "")
        scheme = urlsplit(proxy).scheme if "://" in proxy else "http"
        if scheme in ("http", "https") or (scheme in ("socks5", "socks5h") and find_spec("socksio") is not None):
            continue
        hint = "`pip install socksio` lets it" if scheme in ("socks5", "socks5h") else "it knows http and socks5"
        raise ServerError(
            f"Prefect cannot work where {kind}_proxy names a proxy of the kind {scheme} ({hint}), though Covey needs "
            f"none. Leave it out: env -u {kind}_proxy -u {kind.upper()}_PROXY covey ..."
        )


def database(project: Project) -> dict[str, str]:
    """The variable that leads the project's own Prefect server to its file; empty if the user has chosen another.

    Prefect would make an address of the path of its home, and not escape it. A file that Prefect cannot use is put
    under another name, and a line says so: it only holds which flows ran when.

    Raises:
        ServerError: this user may not write the file.
    """
    if any(os.environ.get(name) for name in DATABASES):
        return {}
    path = project.state / "prefect" / "prefect.db"
    if path.exists():
        _set_aside_unusable(path)
    return {DATABASES[0]: sqlite_file.address(path, "aiosqlite")}


def _set_aside_unusable(path: Path) -> None:
    found = sqlite_file.fault(path, sqlite_file.schema("prefect", "server/database/_migrations/versions/sqlite"))
    if found is None or found is sqlite_file.Fault.OLDER:  # Prefect brings an older one up to date itself
        return
    if found is sqlite_file.Fault.DENIED:
        raise ServerError(f"{path}, Prefect's database, {found.value}. Run as its owner, or remove it.")
    aside = sqlite_file.set_aside(path, time.strftime("%Y%m%d-%H%M%S"))
    print(
        f"{path}, Prefect's database, {found.value}. It is now {aside.name}, and Prefect starts with an empty one: its "
        "page no longer shows earlier runs; nothing else is lost.",
        file=sys.stderr,
    )
