"""What orchestration costs: commands with nothing to do, and what surrounds the work of a stage."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import Effort, seconds_of, spread
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from tasks.process.fork_client import ADDRESS, Fork, fork_server
from tasks.project.project import Project
from tasks.stage import fork_server as server
from tasks.staleness import lock_file, pipeline
from tasks.staleness.reproduce import reproduce
from tests.tasks.conftest import SMALL, make_project

TRAINING, TRANSFER = "pretrain@random", "transfer@random-knn"
LATER = 1000
RERUN = "wall time of the command in a process of its own, Python's start included; it must say that nothing is stale."
MORE = f"the same, with {LATER:,} more entries in dvc.lock, of stages that there are no more."
OVERHEAD = (
    "processor time of DVC's fork and the stage's fork, forced, in a small project with {entries} entries in dvc.lock: "
    "{work}. DVC, MLflow and the checks around a stage are in it."
)
SIZES = ", ".join(f"{name} {value}" for name, value in SMALL["encoder"].items())
WORKS = {
    TRAINING: f"the stage initialises an encoder ({SIZES}), saves it and registers it",
    TRANSFER: "the stage scores 96 pictures by their neighbours",
}
TARGETS = {TRAINING: 1.0, TRANSFER: 0.6}


def measure(effort: Effort, page: Page) -> None:
    """Builds a small project, brings it up to date, and adds all rows, with few entries in dvc.lock and with many."""
    pretrain = {name: {"method": name} for name in sorted({"random", "random" if effort.quick else "rotation"})}
    clusterfit = {f"{name}_cf": {"source": name, "clusters": 5} for name in list(pretrain)[-1:]}
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as folder:
        project = Project(make_project(Path(folder) / "project", pretrain=pretrain, clusterfit=clusterfit))
        with server.running(project) as environment:
            stages = pipeline.graph(project)
            print(f"bringing a small project of {len(stages)} stages up to date ...", flush=True)
            for name in stages:
                reproduce(project, name, environment=environment)
            for entries in (len(stages), len(stages) + LATER):
                if entries > len(stages):
                    lengthen(project.root / "dvc.lock")
                for command in ("run", "status"):
                    add_nothing_stale(effort, page, project, command, entries, RERUN if entries < LATER else MORE)
                for stage in WORKS:
                    add_overhead(effort, page, project, environment, stage, entries)


def lengthen(lock: Path) -> None:
    """Adds entries of stages that there are no more, as other data sets' and old runs' are."""
    body = next(text for name, text in lock_file.entry_texts(lock).items() if name.startswith("transfer@"))
    with lock.open("a") as file:
        file.writelines(f"  transfer@old{number}-knn:\n{body}" for number in range(LATER))


def add_nothing_stale(effort: Effort, page: Page, project: Project, command: str, entries: int, how: str) -> None:
    """A command where all is up to date."""
    rerun(project.root, command)
    taken = spread([seconds_of(lambda: rerun(project.root, command)) for _ in range(effort.pairs)])
    name = f"`covey {command}`, nothing stale, {entries:,} entries in dvc.lock"
    page.add(Row(name, "s", taken, how, Target("≤", 1.5, ratio=False)))


def rerun(root: Path, command: str) -> None:
    """Raises RuntimeError if the command fails, or finds something to do."""
    words = [sys.executable, "-c", "from flows.cli import app; app()", command]
    done = subprocess.run(words, cwd=root, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode or not any(said in done.stdout for said in ("Nothing is stale", "are up to date")):
        raise RuntimeError(f"covey {command} should have had nothing to do in {root}:\n{done.stdout}{done.stderr}")


def add_overhead(
    effort: Effort, page: Page, project: Project, environment: Mapping[str, str], stage: str, entries: int
) -> None:
    """What a forced stage takes of the processor, whose work is next to nothing."""
    taken = spread([cpu_seconds(project, environment, stage) for _ in range(effort.pairs)])
    kind = "training" if stage == TRAINING else "transfer"
    name = f"around a {kind}, {entries:,} entries in dvc.lock"
    how = OVERHEAD.format(entries=f"{entries:,}", work=WORKS[stage])
    page.add(Row(name, "CPU s", taken, how, Target("≤", TARGETS[stage], ratio=False)))


def cpu_seconds(project: Project, environment: Mapping[str, str], stage: str) -> float:
    """Processor time of a stage that is run again by force. Raises RuntimeError if it fails."""
    here = fork_server({ADDRESS: environment[ADDRESS]})
    if here is None:
        raise RuntimeError("the fork server has ended")
    project.forget_work(stage)
    words = ["reproduce", stage, "--force"]
    with (
        open(project.log(stage), "wb") as log,
        Fork(here, words, project.root, {**os.environ, **environment}, log.fileno()) as fork,
    ):
        code = fork.wait()
    if code:
        raise RuntimeError(f"{stage} ended with exit code {code}: {project.log(stage).read_text()}")
    return fork.cpu_seconds
