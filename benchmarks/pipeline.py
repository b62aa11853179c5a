"""What orchestration costs: the CPU time around the work of a stage, and its share of a default run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import Effort, seconds_of, spread
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from benchmarks.standing import LATER, lengthen
from tasks.process.files import read_json
from tasks.process.fork_client import ADDRESS, Fork, fork_server
from tasks.project import paths
from tasks.project.project import Project
from tasks.stage import fork_server as server
from tasks.staleness import code_hash, pipeline
from tasks.staleness.reproduce import reproduce
from tests.tasks.conftest import ROOT, SMALL, make_project

TRAINING, TRANSFER = "pretrain@random", "transfer@random-knn"
OVERHEAD = (
    "CPU time of DVC's fork and of the stage's fork, forced, in a small project with {entries:,} entries in dvc.lock: "
    "{work}. DVC, MLflow and the checks around a stage are included."
)
SIZES = ", ".join(f"{name} {value}" for name, value in SMALL["encoder"].items())
WORKS = {
    TRAINING: f"the stage initialises an encoder ({SIZES}), saves it and registers it",
    TRANSFER: "the stage scores 96 pictures by their neighbours",
}
TARGETS = {TRAINING: 1.0, TRANSFER: 0.6}
SHARE = (
    "wall time of `covey run --jobs 1` in a new project with the params.yaml of this repository, less the seconds that "
    "its {stages} stages spent on their own work, as results/costs.csv counts them; one run."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds the rows of a forced training and a forced transfer, then that of a default run, which takes minutes."""
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as folder:
        settings = {"pretrain": {"random": {"method": "random"}}, "clusterfit": {}}
        project = Project(make_project(Path(folder) / "project", **settings))
        with server.running(project) as environment:
            stages = pipeline.graph(project)
            print(f"bringing a small project of {len(stages)} stages up to date ...", flush=True)
            for name in stages:
                reproduce(project, name, environment=environment)
            for stage in WORKS:
                add_overhead(effort, page, project, environment, stage, len(stages))
            lengthen(project.root / paths.LOCK)
            for stage in WORKS:
                add_overhead(effort, page, project, environment, stage, len(stages) + LATER)
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as folder:
        add_share(page, default_project(Path(folder) / "project", small=effort.quick))


def add_overhead(
    effort: Effort, page: Page, project: Project, environment: Mapping[str, str], stage: str, entries: int
) -> None:
    """The CPU time of a forced stage with hardly any work of its own."""
    taken = spread([cpu_seconds(project, environment, stage) for _ in range(effort.pairs)])
    kind = "training" if stage == TRAINING else "transfer"
    name = f"around a {kind}, {entries:,} entries in dvc.lock"
    how = OVERHEAD.format(entries=entries, work=WORKS[stage])
    page.add(Row(name, "CPU s", taken, how, Target("≤", TARGETS[stage], ratio=False)))


def cpu_seconds(project: Project, environment: Mapping[str, str], stage: str) -> float:
    """CPU time of a stage that is run again by force. Raises RuntimeError if it fails."""
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


def default_project(folder: Path, *, small: bool) -> Project:
    """A new project with this repository's params.yaml, or a small one for a trial."""
    root = make_project(folder)
    if not small:
        shutil.copy(ROOT / paths.PARAMETERS, root / paths.PARAMETERS)
        code_hash.write(root)
    return Project(root)


def add_share(page: Page, project: Project) -> None:
    """The share of a first run's time that its stages do not spend on their own work."""
    print("running a project from the start ...", flush=True)
    elapsed = seconds_of(lambda: run_all(project))
    costs = [read_json(path)["seconds"] for path in project.costs("report").parent.glob("*.json")]
    share, how = 100 * (1 - sum(costs) / elapsed), SHARE.format(stages=len(costs))
    page.add(Row("overhead in a default run", "%", spread([share]), how, Target("<", 8, ratio=False)))


def run_all(project: Project) -> None:
    """`covey run`, one stage after another. Raises RuntimeError if it fails."""
    words = [sys.executable, "-c", "from flows.cli import app; app()", "run", "--jobs", "1"]
    done = subprocess.run(words, cwd=project.root, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"covey run failed in {project.root}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
