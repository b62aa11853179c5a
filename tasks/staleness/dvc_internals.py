"""All that Covey knows of DVC's inside: a stage alone is read, asked about, run and recorded, whatever else there is.

DVC's own commands parse dvc.lock whole and write it whole: 2.8 s of 3.4 at each stage where it has 13,000 lines. Here
only one stage's entry is parsed and written. This leans on functions that DVC does not promise to keep, so `usable`
compares what it needs; where DVC differs, callers use its public commands, which do the same more slowly.

DVC's Python API is used in a process of its own or from one thread: its locks go by process id.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tasks.project import paths
from tasks.staleness import dvc_patches, lock_file
from tasks.staleness.dvc_locks import opened

TESTED = "3.67."
"""The versions of DVC that the tests of this module have passed with."""

BUSY = "another process is writing its inputs or outputs"


class InputsChanged(RuntimeError):
    """A stage's inputs changed between its end and DVC's look at them; nothing was recorded."""

    def __init__(self, changed: Collection[str]) -> None:
        super().__init__(
            f"{', '.join(changed)} changed while the stage was recorded; nothing was recorded. It runs again with what "
            "is there now."
        )


@cache
def version() -> str:
    from dvc import __version__

    return str(__version__)


@cache
def usable() -> bool:
    """Whether this DVC has inside what this module uses."""
    if not version().startswith(TESTED) or not _has_what_is_used():
        return False
    dvc_patches.put()
    return True


def _has_what_is_used() -> bool:
    try:
        from dvc.dvcfile import Lockfile, ProjectFile
        from dvc.repo.reproduce import _reproduce_stage  # noqa: F401
        from dvc.rwlock import _edit_rwlock
        from dvc.stage import PipelineStage
        from dvc.stage import cache as run_cache
        from dvc.stage import run as stage_run
        from dvc.utils.serialize import _yaml
        from dvc_objects.fs import system

        needed = (
            list(inspect.signature(Lockfile.dump_stages).parameters)[:2] == ["self", "stages"],
            {"contents", "resolver", "lockfile_contents", "_dump_lockfile"} <= set(dir(ProjectFile)),
            {"changed", "changed_deps", "reproduce", "status", "dump"} <= set(dir(PipelineStage)),
            list(inspect.signature(PipelineStage.save).parameters) == ["self", "allow_missing", "run_cache"],
            list(inspect.signature(stage_run._run).parameters)[:2] == ["executable", "cmd"],
            list(inspect.signature(system.reflink).parameters) == ["src", "dst"],
            list(inspect.signature(_edit_rwlock).parameters) == ["lock_dir", "fs", "hardlink"],
            list(inspect.signature(run_cache._get_cache_hash).parameters) == ["cache", "key"],
            list(inspect.signature(_yaml.parse_yaml).parameters) == ["text", "path", "typ"],
        )
    except (ImportError, AttributeError):
        return False
    return all(needed)


def resolve(root: Path, names: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """Stage -> its entry of dvc.yaml with all parameters filled in; of all stages where `names` is None.

    dvc.lock is not read. Raises DvcException, KeyError for a name that there is not.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        resolver = _project_file(repo).resolver
        every = list(resolver.get_keys())
        if names is not None and (lost := set(names) - set(every)):
            raise KeyError(f"dvc.yaml has no stage {sorted(lost)[0]}")
        return {name: resolver.resolve_one(name)[name] for name in (every if names is None else names)}


def status(root: Path, names: Collection[str]) -> dict[str, list[Any]]:
    """Stage -> what `dvc status` says of it, for those of the stages that something has changed for.

    A stage whose inputs or outputs another process is writing has changed; so has one that a killed process was
    writing, until the kernel has ended that process.
    """
    from dvc.lock import LockError

    found: dict[str, list[Any]] = {}
    with opened(root) as repo:
        for stage in _stages(repo, names):
            try:
                changes = stage.status(check_updates=True)
            except LockError:
                changes = {stage.name: [BUSY]}
            found |= {name.rpartition(":")[2]: reasons for name, reasons in changes.items()}
    return found


def reproduce(
    root: Path,
    name: str,
    *,
    force: bool,
    run: Callable[[str, dict[str, str]], int],
    confirm: Callable[[], None] = lambda: None,
) -> str:
    """Brings one stage up to date, as `dvc repro --single-item NAME` does; what DVC says goes to standard output.

    Args:
        run: carries out a stage's command in an environment and returns the exit code.
        confirm: is called after a command has run and DVC has hashed the inputs, before anything is recorded; raises
            InputsChanged if they are not what the command read.

    Returns "ran", "restored" (from DVC's run cache) or "unchanged". Raises DvcException, InputsChanged.
    """
    from dvc.repo.reproduce import _reproduce_stage
    from dvc.repo.scm_context import scm_context

    ran: list[str] = []
    with opened(root) as repo:
        (stage,) = _stages(repo, [name])
        _recorded_if(stage, confirm, ran)
        with _commands_run_by(run, ran, stage):
            done = scm_context(lambda _repo: _reproduce_stage(stage, force=force, interactive=False, upstream=[]))(repo)
    return "unchanged" if done is None else "ran" if ran else "restored"


def _recorded_if(stage: Any, confirm: Callable[[], None], ran: list[str]) -> None:
    """Has DVC record what a command has made only if its inputs are what `confirm` and DVC's own hash find now."""
    save = stage.save

    def checked(*, run_cache: bool = True, **keywords: Any) -> None:
        save(run_cache=False, **keywords)
        if ran:
            confirm()
            if not stage.always_changed and stage.changed_deps():
                raise InputsChanged(["an input"])
        if run_cache:
            stage.repo.stage_cache.save(stage)

    stage.save = checked


def forget(root: Path, name: str, since: float) -> None:
    """Takes back what DVC has recorded of a stage's last run, which began at the time `since`: lock and run cache."""
    with opened(root) as repo:
        (stage,) = _stages(repo, [name])
        for path in Path(repo.stage_cache.cache_dir).glob("*/*/*"):
            if path.stat().st_mtime >= since and f"cmd: {stage.cmd}\n" in path.read_text():
                path.unlink()
                if not any(path.parent.iterdir()):  # DVC fails at an empty folder there
                    path.parent.rmdir()
        lock_file.remove(root / paths.LOCK, name)


def cache_folder(root: Path) -> Path:
    """The folder of DVC's cache that holds files by their MD5: aa/bbbb..."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return Path(repo.cache.local.path)


def at_hand(root: Path, name: str) -> bool:
    """Whether a stage is up to date, or DVC's run cache holds what it would write."""
    from dvc.stage.cache import RunCacheNotFoundError

    with opened(root) as repo:
        (stage,) = _stages(repo, [name])
        if not stage.changed():
            return True
        if stage.changed_stage() or not stage.deps_cached():
            stage.save_deps()
            for out in stage.outs:
                out.clear()  # what dvc.lock says of them was made of other inputs
        try:
            repo.stage_cache.restore(stage, dry=True)
        except RunCacheNotFoundError:
            return False
        return True


def fetch(root: Path, name: str) -> None:
    """Brings a stage's outputs home from the remote, as its entry in dvc.lock says, and puts it into the run cache."""
    from dvc.repo import Repo, lock_repo

    with Repo(str(root), _wait_for_lock=True) as repo:
        repo.pull(targets=[name], force=True)
        with lock_repo(repo):
            (stage,) = _stages(repo, [name])
            if all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs):  # as dvc itself does
                repo.stage_cache.save(stage)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the lock under which every dvc of this project writes dvc.lock."""
    with opened(root):
        yield


def _project_file(repo: Any) -> Any:
    from dvc.dvcfile import load_file

    return load_file(repo, os.path.join(repo.root_dir, paths.PIPELINE))


def _stages(repo: Any, names: Collection[str]) -> list[Any]:
    """DVC's own objects of some stages, each with its entry of dvc.lock, which it also writes back alone."""
    from dvc.utils.serialize import parse_yaml

    usable()  # puts what is replaced in DVC, on which keys of the run cache depend
    file = _project_file(repo)
    lock = Path(repo.root_dir) / paths.LOCK
    entries = lock_file.read(lock, names)
    parsed = {name: parse_yaml(text, str(lock))[name] for name, text in entries.items()}
    loader = file.LOADER(file, file.contents, {"stages": parsed})
    file.__dict__["_dump_lockfile"] = lambda stages, **keywords: _dump(repo, lock, stages, **keywords)
    stages = [loader[name] for name in names]
    for stage in stages:
        stage._dvcfile = file
    return stages


def _dump(repo: Any, lock: Path, stages: Collection[Any], **keywords: Any) -> None:
    """Writes stages' entries into dvc.lock, each in the place of its old one, all else as it is to the byte."""
    from dvc.stage.serialize import to_lockfile

    for stage in stages:
        lock_file.write(lock, stage.name, to_lockfile(stage, **keywords)[stage.name])
    repo.scm_context.track_file(os.path.relpath(lock))


@contextmanager
def _commands_run_by(run: Callable[[str, dict[str, str]], int], ran: list[str], stage: Any) -> Iterator[None]:
    """Has DVC hand the stage's command to `run`; it is added to `ran`.

    Outputs are removed once more: where another project shares the cache, DVC may have tried to restore them and have
    left links into the cache, which a command must not write through.
    """
    from dvc.stage import run as stage_run
    from dvc.stage.exceptions import StageCmdFailedError

    def handed_over(_executable: str | None, command: str, *, env: Mapping[str, str], **_: Any) -> None:
        ran.append(command)
        for out in stage.outs:
            out.remove(ignore_remove=False)
        if code := run(command, dict(env)):
            raise StageCmdFailedError(command, code)

    own = stage_run._run
    stage_run._run = handed_over
    try:
        yield
    finally:
        stage_run._run = own
