"""The bridge to DVC's experiments: a point of a sweep is `dvc exp run --temp` in a small copy of the project.

The copy is a git clone without any data. Its one commit beyond HEAD holds the tracked files as they are now, with the
sweep's parameters for params.yaml and no dvc.lock: DVC reads and writes a lock of eight hundred stages whole at every
step, and its cache of runs knows all that the lock knows. The cache is the project's own, so that what a point has in
common with anything that ever ran is taken from there. Each worker has a copy of its own, since two experiments that
start in one at the same moment race for its refs (dvc#10673).
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.process import files, memory_kills
from tasks.process.command import command_environment, run_command
from tasks.process.git import GitError
from tasks.process.git import git as run_git
from tasks.process.parent_death import PATCHED
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings import encoders, memory_advice, readers
from tasks.settings.schema import ParameterError
from tasks.staleness.dvc_errors import PipelineError, StageFailed
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Sweep

CODE = ("flows", "ssl_models", "tasks", "dvc.yaml")
NOBODY = {"NAME": "covey", "EMAIL": "covey@localhost"}
IDENTITY = {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in NOBODY.items()}


def baseline(project: Project, sweep: Sweep) -> str:
    """The commit that the sweep's experiments start from, kept alive by the ref refs/covey/sweeps/NAME.

    The same tree on the same HEAD gives the same commit.

    Raises:
        ParameterError: code that git does not know would not travel.
    """
    if unknown := git(project.root, "ls-files", "--others", "--exclude-standard", "--", *CODE).split():
        raise ParameterError(f"git does not know {', '.join(unknown)}, so no experiment would have it: `git add` it.")
    index = project.state / "sweeps" / f"{sweep.name}.index"
    index.parent.mkdir(parents=True, exist_ok=True)
    head = git(project.root, "rev-parse", "HEAD")
    when = git(project.root, "show", "-s", "--format=%ct +0000", "HEAD")
    settings = {"GIT_INDEX_FILE": str(index), "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when, **IDENTITY}
    git(project.root, "read-tree", "HEAD", **settings)
    git(project.root, "add", "--update", **settings)
    git(project.root, "rm", "--cached", "--quiet", "--ignore-unmatch", "dvc.lock", **settings)
    text = yaml.safe_dump(_from_anywhere(project, sweep.parameters), sort_keys=False)
    blob = git(project.root, "hash-object", "-w", "--stdin", given=text)
    git(project.root, "update-index", "--add", "--cacheinfo", f"100644,{blob},params.yaml", **settings)
    tree = git(project.root, "write-tree", **settings)
    commit = git(project.root, "commit-tree", tree, "-p", head, "-m", f"sweep {sweep.name}", **settings)
    git(project.root, "update-ref", f"refs/covey/sweeps/{sweep.name}", commit)
    index.unlink()
    return commit


def _from_anywhere(project: Project, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with whole paths for what git does not have, such as a folder of images or a file of weights."""
    found: dict[str, Any] = json.loads(json.dumps(parameters))
    targets = [block["data"] for block in found["targets"].values()]
    for block in (found["data"], *found["datasets"].values(), *targets):
        other = block.get(readers.OF, {})
        for own, names in ((block, ("source", *readers.tables(block))), (other, readers.tables(other))):
            own.update({name: _whole(project.root, own[name]) for name in names})
    for kind in encoders.TRAININGS:
        for name, place in encoders.weight_files(project.root, {kind: found[kind]}).items():
            if place is not None:
                setting = encoders.INITIALISE if encoders.INITIALISE in found[kind][name] else encoders.WEIGHTS
                found[kind][name][setting] = _whole(project.root, found[kind][name][setting])
    return found


def _whole(root: Path, path: str) -> str:
    """A path of the settings, whole unless git has what lies there. It has nothing of what lies outside of `root`."""
    place = (root / Path(path).expanduser()).resolve()
    known = place.is_relative_to(root.resolve()) and git(root, "ls-files", "--", str(place))
    return path if known else str(place)


def copy(project: Project, number: int, commit: str) -> Path:
    """The clone of one worker, with the commit checked out and the project's cache."""
    place = project.state / "sweeps" / f"copy-{number}"
    if not (place / ".git").exists():
        shutil.rmtree(place, ignore_errors=True)
        git(project.root, "clone", "--quiet", "--shared", "--no-checkout", str(project.root.resolve()), str(place))
    git(place, "checkout", "--quiet", "--force", "--detach", commit)  # it shares the project's objects
    shutil.rmtree(place / ".dvc/tmp/exps", ignore_errors=True)  # what a kill left behind
    (place / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    (place / ".dvc/config.local").write_text(f"[cache]\n    dir = {_cache(project)}\n")
    return place


def costs_folder(project: Project, point: Point) -> Path:
    """Where the stages of a point leave what they cost."""
    return project.state / "sweeps" / "costs" / point.name


def log_name(point: Point) -> str:
    """What DVC printed of a point lies in the log of this name."""
    return f"sweep-{point.name}"


def run(
    project: Project, place: Path, point: Point, environment: Mapping[str, str], timeout: float | None = None
) -> float:
    """Runs a point in a copy, unless its experiment is there already; returns the seconds it took.

    Raises:
        StageFailed: the experiment did not come to its end; its log is the point's.
    """
    begun = time.monotonic()
    if revision(place, point.name) is None:
        log = project.log(log_name(point))
        settings = [word for override in point.overrides for word in ("--set-param", override)]
        command = [
            sys.executable,
            "-m",
            PATCHED,
            "exp",
            "run",
            "--temp",
            "--name",
            point.name,
            *settings,
            *point.targets,
        ]
        costs = str(costs_folder(project, point).resolve())
        kills = memory_kills.count()
        with open(log, "wb") as output:
            code = run_command(
                command, place, output, command_environment({**environment, paths.COSTS: costs}), timeout
            )
        if code != 0 or revision(place, point.name) is None:
            text = log.read_text(errors="replace")
            reason = "took too long" if code is None else f"failed (exit code {code})"
            tail = "\n".join(text.strip().splitlines()[-12:])
            short = memory_kills.is_kill(code, text) and memory_kills.count() > kills
            if short:
                tail += f"\nerror: {memory_kills.sentence(memory_advice.FEWER, certain=True)}"
            raise StageFailed(f"point '{point}'", reason, tail, log, final=short or "exited with 2" in text)
    return time.monotonic() - begun


def bring_home(project: Project, place: Path, point: Point) -> str:
    """Fetches the experiment's commit into the project, where `dvc exp show --rev BASELINE` lists it; returns it.

    Not for two at once.
    """
    found = revision(place, point.name)
    if found is None:
        raise PipelineError(f"the experiment {point.name} has left no commit in {place}")
    for line in git(place, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        if line.endswith(f"/{point.name}"):
            git(project.root, "fetch", "--quiet", "--no-write-fetch-head", str(place), f"+{line}:{line}")
    return found


def revision(place: Path, name: str) -> str | None:
    """The commit of the experiment of that name; None where there is none."""
    for line in git(place, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        commit, _, ref = line.partition(" ")
        if ref.endswith(f"/{name}"):
            return commit
    return None


def metrics(project: Project, commit: str) -> dict[str, Any]:
    """Path -> content of every metric file of an experiment, from its dvc.lock and the cache."""
    lock = yaml.load(git(project.root, "show", f"{commit}:dvc.lock"), Loader=yaml.CSafeLoader)
    cache, found = _cache(project), {}
    for stage in lock["stages"].values():
        for output in stage.get("outs", ()):
            path, digest = output["path"], output.get("md5", "")
            if path.startswith("metrics/") and path.endswith(".json"):
                found[path] = files.read_json(cache / "files/md5" / digest[:2] / digest[2:])
    return found


def _cache(project: Project) -> Path:
    from dvc.repo import Repo

    with Repo(str(project.root)) as repo:
        return Path(repo.cache.local.path).parent.parent


def git(place: Path, *words: str, given: str | None = None, **settings: str) -> str:
    """What a git command prints. Raises PipelineError with git's own words."""
    try:
        return run_git(place, *words, given=given, **settings).strip()
    except GitError as error:
        raise PipelineError(f"git {' '.join(words[:2])} in {place}: {error}") from error
