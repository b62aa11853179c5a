"""What orchestration costs: a run with nothing to do, and a stage that does next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import Effort, compare, seconds_of, spread
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from tasks.project.project import Project
from tasks.stage import fork_server
from tasks.staleness import graph
from tests.tasks.conftest import SMALL, make_project

STAGE = "pretrain@random"
RERUN = "wall time of the command in a process of its own, Python's start included; it must say that nothing is stale."
OVERHEAD = (
    f"wall time of `{STAGE}`, forced, in a small project: the stage initialises an encoder "
    f"({', '.join(f'{name} {value}' for name, value in SMALL['encoder'].items())}), saves it and registers it. DVC, "
    "MLflow and the checks around a stage are in it. The other starts the stage in a fresh Python."
)


def measure(effort: Effort, page: Page) -> None:
    """Builds a small project, brings it up to date, and adds both rows."""
    source = "random" if effort.quick else "rotation"
    pretrain = {name: {"method": name} for name in sorted({"random", source})}
    clusterfit = {f"{source}_cf": {"source": source, "clusters": 5}}
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as folder:
        root = make_project(Path(folder) / "project", pretrain=pretrain, clusterfit=clusterfit)
        with fork_server.running(Project(root)) as environment:
            stages = graph.graph(root)
            print(f"bringing a small project of {len(stages)} stages up to date ...", flush=True)
            for name in stages:
                graph.reproduce(root, name, environment=environment)
            add_rerun(effort, page, root, len(stages))
            add_overhead(effort, page, root, environment)


def add_rerun(effort: Effort, page: Page, root: Path, stages: int) -> None:
    """`covey run` where all is up to date."""
    rerun(root)
    taken = spread([seconds_of(lambda: rerun(root)) for _ in range(effort.pairs)])
    page.add(Row(f"`covey run`, all {stages} stages up to date", "s", taken, RERUN, Target("<", 5, ratio=False)))


def rerun(root: Path) -> None:
    """Raises RuntimeError if the run fails, or finds something to do."""
    command = [sys.executable, "-c", "from flows.cli import app; app()", "run"]
    done = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode or "Nothing is stale" not in done.stdout:
        raise RuntimeError(f"covey run should have had nothing to do in {root}:\n{done.stdout}{done.stderr}")


def add_overhead(effort: Effort, page: Page, root: Path, environment: Mapping[str, str]) -> None:
    """A forced stage, forked from a server that has done its imports, against one that does them itself."""

    def force(extra: Mapping[str, str]) -> float:
        return seconds_of(lambda: graph.reproduce(root, STAGE, environment=extra, force=True))

    with_server, without, ratio = compare(lambda: force(environment), lambda: force({}), effort.pairs)
    target = Target("≤", 4, ratio=False)
    page.add(
        Row("a stage that does nothing", "s", with_server, OVERHEAD, target, "without fork server", without, ratio)
    )
