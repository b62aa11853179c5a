"""The bridge to DVC: its graph as frozen nodes, what is stale, in which order to go, and one stage brought up to date.

Only DVC decides what is stale, and only its command runs a stage: a subprocess each, never its Python API from
threads, since its locks go by process id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.project import paths as store
from tasks.settings.schema import ParameterError

if TYPE_CHECKING:
    from tasks.staleness.declaration import Declared

Kind = Literal["prepare", "train", "extract", "cluster", "transfer", "report"]
KINDS: dict[str, Kind] = {"code": "prepare", "pretrain": "train", "clusterfit": "train"}
LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")
TORN_FILES = ("dvc.lock", "rwlock")
TORN_WORDS = ("parse", "invalid", "corrupt", "validation failed", "JSONDecodeError", "Expecting")
MEND = (
    "A kill in the middle of a write leaves such a file. Mend it with `git checkout dvc.lock` and "
    "`rm -f .dvc/tmp/rwlock`, then run again: what is in DVC's cache is not computed anew."
)
CODE_STAGE = "code"
LOCK_ATTEMPTS = 20
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


@dataclass(frozen=True)
class Stage:
    """A node of the DAG: what it waits for, what it reads and what it writes (paths from the root)."""

    name: str
    kind: Kind
    parents: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]


def graph(root: Path) -> dict[str, Stage]:
    """Every stage of dvc.yaml, parents before children."""
    return _ask(root, _graph)


def resolved(root: Path) -> dict[str, tuple[tuple[str, ...], Declared]]:
    """Every stage's parents and what it declares, parents before children."""
    return _ask(root, _resolved)


def stale(root: Path, names: Collection[str] | None = None) -> dict[str, list[str]]:
    """Stage -> why DVC holds it for changed: "params.yaml pretrain.rotation.epochs modified", ...

    names: the stages to ask about, all by default; DVC looks at the files of every one that it is asked about. Where
    code has changed, `code` is brought up to date first: only then does DVC know whom that concerns.
    """
    status = _ask(root, lambda repo: _status(repo, names))
    if CODE_STAGE in status:
        reproduce(root, CODE_STAGE)
        status = _ask(root, lambda repo: _status(repo, names, look_at_code=False))
    return {name.rpartition(":")[2]: _reasons(changes) for name, changes in status.items()}


def _status(repo: Any, names: Collection[str] | None, *, look_at_code: bool = True) -> dict[str, Any]:
    """What `repo.status()` says of some stages; of `code` alone, if that is stale.

    look_at_code: False once it has been brought up to date, as DVC keeps a folder's hash while the process lives.
    """
    from dvc.repo import lock_repo

    found: dict[str, Any] = {}
    with lock_repo(repo):
        stages = {stage.name: stage for stage in repo.index.stages}
        code = stages.pop(CODE_STAGE, None)
        if look_at_code and code is not None and (found := code.status(check_updates=True)):
            return found
        for name, stage in stages.items():
            if names is None or name in names:
                found |= stage.status(check_updates=True)
    return found


def _ask(root: Path, question: Callable[[Any], Any]) -> Any:
    """DVC's answer, or its error made readable. A dvc that writes dvc.lock, in place, is given the moment it takes."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    for attempt in range(ATTEMPTS_AT_TORN):
        try:
            with Repo(str(root)) as repo:
                return question(repo)
        except DvcException as error:
            if attempt == ATTEMPTS_AT_TORN - 1 or not is_torn(f"{error} {error.__cause__ or ''}"):
                raise _readable(error) from error
            time.sleep(0.1)
    raise AssertionError("the last attempt returns or raises")


def _resolved(repo: Any) -> dict[str, tuple[tuple[str, ...], Declared]]:
    import networkx

    from tasks.staleness.declaration import of_stage

    edges = repo.index.graph  # child -> parent
    return {
        stage.name: (
            tuple(sorted(parent.name for parent in edges.successors(stage))),
            of_stage(stage, Path(repo.root_dir)),
        )
        for stage in reversed(list(networkx.topological_sort(edges)))
    }


def _graph(repo: Any) -> dict[str, Stage]:
    stages = {}
    for name, (parents, declared) in _resolved(repo).items():
        word = name.partition("@")[0].partition("_")[0]
        kind: Kind = KINDS.get(word, word)  # type: ignore[arg-type]
        stages[name] = Stage(name, kind, parents, declared.paths, declared.outputs)
    return stages


def _reasons(changes: Iterable[Any]) -> list[str]:
    found = []
    for change in changes:
        if isinstance(change, str):
            found.append(change)
            continue
        for paths in change.values():
            for path, how in paths.items():
                if isinstance(how, dict):
                    found.extend(f"{path} {key} {state}" for key, state in how.items())
                else:
                    found.append(f"{path} {how}")
    return found


def _readable(error: Exception) -> Exception:
    """DVC's own words, with the way out where a kill has torn one of its files."""
    text = str(error)
    cause = f"{text} {error.__cause__ or ''}"
    if is_torn(cause):
        return PipelineError(f"{text}\n{MEND}")
    if "not a git repository" in cause:
        return PipelineError(f"{text}. Covey's folder is kept in git: `git init` makes it one.")
    return ParameterError(text)


def is_torn(text: str) -> bool:
    """Whether DVC's words say that one of its own files is only half there."""
    return any(name in text for name in TORN_FILES) and any(word in text for word in TORN_WORDS)


def plan(stages: dict[str, Stage], changed: Iterable[str], targets: Iterable[str] = ()) -> list[str]:
    """The stages to run, parents first: the changed ones and all that follow from them.

    `targets` restrict it to themselves and their ancestors. `stages` must be in topological order.
    """
    wanted = set(targets) or set(stages)
    for name in reversed(stages):
        if name in wanted:
            wanted.update(stages[name].parents)
    affected: set[str] = set()
    for name, stage in stages.items():
        if name in changed or affected.intersection(stage.parents):
            affected.add(name)
    return [name for name in stages if name in affected and name in wanted]


def check(root: Path, names: Iterable[str]) -> None:
    """Builds what the named stages would build, in a process of its own: a bad value is found before any runs."""
    command = [sys.executable, "-m", "tasks", "check", *names]
    done = subprocess.run(command, cwd=root, env=command_environment({}), capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().removeprefix("error: ")
        raise ParameterError(words or f"the look at the settings ended with exit code {done.returncode}")


def reproduce(
    root: Path, name: str, *, timeout: float | None = None, environment: Mapping[str, str] = {}, force: bool = False
) -> str:
    """Brings one stage up to date with `dvc repro --single-item`; its output goes to the stage's log.

    Returns "ran", "unchanged" (its inputs came out as they were) or "restored" (from DVC's run cache). Raises
    StageFailed. After `timeout` seconds the stage and dvc are killed.
    """
    if force:
        store.forget_work(root, name)
    log = store.log_file(root, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", name, *(["--force"] if force else [])]
    for attempt in range(LOCK_ATTEMPTS):
        with open(log, "wb") as output:
            code = run_command(command, root, output, command_environment(environment), timeout)
        text = log.read_text(errors="replace")
        if code == 0 or not any(words in text for words in LOCKED):
            break
        time.sleep(0.2 + 0.1 * attempt)
    if code != 0:
        reason = f"took longer than {timeout:.0f} s" if code is None else f"failed (exit code {code})"
        tail = "\n".join(text.strip().splitlines()[-12:]) + (f"\n{MEND}" if is_torn(text) else "")
        raise StageFailed(name, reason, tail, log, final="exited with 2" in text)
    if "Running stage" in text:
        return "ran"
    return "restored" if "is cached - skipping run" in text else "unchanged"


def command_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with this Python found first, since dvc.yaml says `python`."""
    folder = os.path.dirname(sys.executable)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **extra}


def run_command(
    command: list[str], root: Path, output: Any, environment: dict[str, str], timeout: float | None
) -> int | None:
    """Runs a command in a process group of its own; None after a timeout. Whatever ends this call ends the group."""
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


_libc = ctypes.CDLL(None)  # loaded beforehand: little is safe between a fork of a threaded process and its exec


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
