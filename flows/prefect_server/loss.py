"""What becomes of a run whose Prefect server is lost: it is stopped, and the server is named.

Without this, Prefect's threads try to reach the server again and again, print pages of what they cannot tell it, and no
stage is started any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flows.errors import ServerError
from flows.prefect_server.server import Server, answers
from tasks.process import stopping

CONTINUES = "Then `covey run` continues from the last checkpoints."
WATCH_SECONDS = 1.0
SILENT_LOOKS = 10
"""So often in a row must a server that others run be silent."""
_lost: list[str] = []


def lost() -> str | None:
    """What is to be said of the server that was lost; None if it was not."""
    return _lost[0] if _lost else None


@contextmanager
def watched(server: Server) -> Iterator[None]:
    """Stops what the block does when the server is lost.

    Raises:
        ServerError: the server was lost.
    """
    over, guard = threading.Event(), threading.Lock()
    _lost.clear()
    threading.Thread(target=_watch, args=(server, over, guard), name="server-watch", daemon=True).start()
    try:
        try:
            yield
        finally:
            with guard:
                over.set()
    except BaseException:
        if words := lost():
            raise ServerError(words) from None
        raise


def _watch(server: Server, over: threading.Event, guard: threading.Lock) -> None:
    silent = 0
    while not over.wait(WATCH_SECONDS):
        words, silent = _look(server, silent)
        with guard:
            if silent >= SILENT_LOOKS and not over.is_set():
                _lost.append(words)
                _silence_prefect()
                stopping.stop_main_thread()
                return


def _silence_prefect() -> None:
    """Its threads would print pages of what they cannot tell the server; some of its loggers have no level to set."""
    logging.disable(logging.CRITICAL)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "prefect" and isinstance(logger, logging.Logger):
            logger.disabled = True


def _look(server: Server, silent: int) -> tuple[str, int]:
    """What to say if the server is lost, and how often in a row it has been silent."""
    if server.process is None:
        words = f"The Prefect server at {server.address}, which PREFECT_API_URL names, has stopped answering"
        mend = "Start it again, or unset PREFECT_API_URL."
        silent = 0 if answers(f"{server.address}/health") else silent + 1
    else:
        silent = 0 if (code := server.process.poll()) is None else SILENT_LOOKS
        words = f"The Prefect server of this run has ended (exit code {code})"
        mend = f"See its log: {server.log}"
    return f"{words}. All stages were stopped. {mend} {CONTINUES}", silent
