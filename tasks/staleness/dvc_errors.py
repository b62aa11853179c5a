"""DVC's errors in words that say what to do, and a second try where another dvc is in the middle of a write."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tasks.settings.schema import ParameterError

Answer = TypeVar("Answer")
LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")
TORN_FILES = ("dvc.lock", "rwlock")
TORN_WORDS = ("parse", "invalid", "corrupt", "validation failed", "JSONDecodeError", "Expecting")
MEND = (
    "A kill in the middle of a write leaves such a file. Mend it with `git checkout dvc.lock` and "
    "`rm -f .dvc/tmp/rwlock`, then run again: what is in DVC's cache is not computed anew."
)
ATTEMPTS_AT_TORN = 10


class PipelineError(RuntimeError):
    """DVC cannot say what there is to do; the text says why and how to mend it."""


class StageFailed(RuntimeError):
    """A stage's command did not end well; `tail` holds the last lines of its log.

    final: it would end in the same way again, as it does for a parameter that cannot be used.
    """

    def __init__(self, stage: str, reason: str, tail: str, log: Path, *, final: bool = False) -> None:
        super().__init__(f"{stage} {reason}")
        self.stage, self.reason, self.tail, self.log, self.final = stage, reason, tail, log, final


def readable(question: Callable[[], Answer]) -> Answer:
    """DVC's answer, or its error made readable.

    A dvc that is not Covey's own writes dvc.lock in place: it is given the moment that this takes.

    Raises:
        PipelineError: DVC cannot work here, or a kill has torn one of its files.
        ParameterError: dvc.yaml or params.yaml cannot be used.
    """
    from dvc.exceptions import DvcException

    for attempt in range(ATTEMPTS_AT_TORN):
        try:
            return question()
        except DvcException as error:
            if attempt == ATTEMPTS_AT_TORN - 1 or not is_torn(f"{error} {error.__cause__ or ''}"):
                raise as_words(f"{error}", f"{error.__cause__ or ''}") from error
            time.sleep(0.1)
    raise AssertionError("the last attempt returns or raises")


def is_torn(text: str) -> bool:
    """Whether DVC's words say that one of its own files is only half there."""
    return any(name in text for name in TORN_FILES) and any(word in text for word in TORN_WORDS)


def is_locked(text: str) -> bool:
    """Whether DVC's words say that another dvc holds a lock."""
    return any(words in text for words in LOCKED)


def as_words(text: str, cause: str = "") -> Exception:
    """The error for what DVC said: a PipelineError where the project must be mended, else a ParameterError."""
    cause = f"{text} {cause}"
    if is_torn(cause):
        return PipelineError(f"{text}\n{MEND}")
    if is_locked(cause):
        holders = "".join(f"\n{line}" for line in text.splitlines() if line.lstrip().startswith("(PID"))
        return PipelineError(f"Another process is at work in this project; try again when it has ended.{holders}")
    if "not a git repository" in cause:
        return PipelineError(f"{text}. Covey's folder is kept in git: `git init` makes it one.")
    return ParameterError(text)
