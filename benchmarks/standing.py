"""What `covey run` and `covey status` cost: where nothing is stale, and around the stages of a run with work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Effort, compare, seconds_of, spread
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from tasks.process.files import read_json
from tasks.project import paths
from tasks.project.project import Project
from tasks.stage import fork_server
from tasks.staleness import lock_file, pipeline
from tasks.staleness.reproduce import reproduce
from tests.tasks.conftest import make_project

COMMANDS = ("run", "status")
FEW, MANY = 11, 250
"""Runs: with four stages each and three stages of no run they make 47 and 1,003 stages."""
LIMITS = {FEW: 1.5, MANY: 3.0}
LATER = 1000
GROWTH = 1.25
FIRST = "run0"
HOW = (
    "wall time of the command in a process of its own, Python's start included; it must say that nothing is stale. "
    "The project has {stages:,} stages. One run was made by its stages, on 288 pictures; the others are copies of its "
    "outputs and of its entries in dvc.lock. DVC has checked each of them once, before the measurement."
)
MORE = (
    f"`covey {{command}}` of few selected stages, with {LATER:,} entries added to dvc.lock, of stages that are not in "
    "dvc.yaml. The other is the same without them, in turns."
)
FIXED_LIMIT = 6.0
FIXED_STAGE = f"transfer@{FIRST}-knn"
FIXED = (
    f"wall time of `covey run {FIXED_STAGE} --force`, without the seconds that the stage spends on its work: the "
    "servers, the check of the settings, the records of the run, and what there is around one stage. The project is "
    "that of the rows above."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds a row for each command and number of stages, and a row for what each grows by with a longer dvc.lock."""
    few, many = (2, 4) if effort.quick else (FEW, MANY)
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as folder:
        project = build(Path(folder) / "project", few, many)
        selected = select(project, "few")
        for command in COMMANDS:
            add_row(effort, page, project, command, selected, LIMITS[FEW])
        for command in COMMANDS:
            add_growth(effort, page, project, command)
        add_fixed(effort, page, project)
        selected = select(project, "all")
        for command in COMMANDS:
            add_row(effort, page, project, command, selected, LIMITS[MANY])


def build(folder: Path, few: int, many: int) -> Project:
    """A project of `many` runs with four stages each, of which `few` are a set; all are up to date but the report."""
    names = [f"run{number}" for number in range(many)]
    settings = {
        "pretrain": {name: {"method": "random"} for name in names},
        "clusterfit": {},
        "transfer": {"knn": {"neighbours": 20}, "retrieval": {}},
        "sets": {"few": names[:few], "others": names[few:]},
    }
    project = Project(make_project(folder, **settings))
    with fork_server.running(project) as environment:
        for stage in pipeline.graph(project):
            if stage in ("code", "prepare") or re.search(rf"@{FIRST}\b", stage):
                reproduce(project, stage, environment=environment)
    copy_first_run(project, names[1:])
    return project


def copy_first_run(project: Project, names: Sequence[str]) -> None:
    """Gives other runs of the same settings the outputs of the first, and its entries in dvc.lock."""
    places, lock = project.places, project.root / paths.LOCK
    entries = [(name, body) for name, body in lock_file.entry_texts(lock).items() if f"@{FIRST}" in name]
    for name in names:
        shutil.copytree(places.encoder(FIRST).parent, places.encoder(name).parent)
        shutil.copytree(places.metrics / FIRST, places.metrics / name)
    with lock.open("a") as file:
        for name in names:
            file.writelines(re.sub(rf"\b{FIRST}\b", name, f"  {stage}:\n{body}") for stage, body in entries)


def select(project: Project, runs: str) -> int:
    """Selects a set of runs and writes its report; how many stages are selected, all of them up to date."""
    path = project.root / paths.PARAMETERS
    path.write_text(re.sub(r"(?m)^runs: .*$", f"runs: {runs}", path.read_text()))
    reproduce(project.reread(), "report")
    found = re.search(r"All (\d+) are up to date", printed := call(project, "status"))
    if found is None:
        raise RuntimeError(f"covey status should have counted the stages:\n{printed[-4000:]}")
    return int(found[1])


def lengthen(lock: Path) -> None:
    """Adds entries of stages that there are no more, such as those of other data sets and of old runs."""
    body = next(text for name, text in lock_file.entry_texts(lock).items() if name.startswith("transfer@"))
    with lock.open("a") as file:
        file.writelines(f"  transfer@old{number}-knn:\n{body}" for number in range(LATER))


def add_row(effort: Effort, page: Page, project: Project, command: str, stages: int, limit: float) -> None:
    """A command where all selected stages are up to date."""
    call(project, command)
    taken = spread([seconds_of(lambda: call(project, command)) for _ in range(effort.pairs)])
    name = f"`covey {command}`, nothing stale, {stages:,} selected stages"
    how = HOW.format(stages=len(pipeline.graph(project.reread())))
    page.add(Row(name, "s", taken, how, Target("≤", limit, ratio=False)))


def add_growth(effort: Effort, page: Page, project: Project, command: str) -> None:
    """A command with a longer dvc.lock, against itself with the present one."""
    lock = project.root / paths.LOCK
    short = lock.read_text()
    lengthen(lock)
    long = lock.read_text()

    def seconds(text: str) -> float:
        lock.write_text(text)
        return seconds_of(lambda: call(project, command))

    after, before, ratio = compare(lambda: seconds(long), lambda: seconds(short), effort.pairs)
    lock.write_text(short)
    name, how = f"`covey {command}` with {LATER:,} more entries in dvc.lock", MORE.format(command=command)
    page.add(Row(name, "s", after, how, Target("≤", GROWTH, ratio=True), "without them", before, ratio))


def add_fixed(effort: Effort, page: Page, project: Project) -> None:
    """What a run with work costs, however little work there is."""

    def around() -> float:
        elapsed = seconds_of(lambda: covey(project, "run", FIXED_STAGE, "--force", says="1 stage done"))
        return elapsed - float(read_json(project.costs(FIXED_STAGE))["seconds"])

    around()
    taken = spread([around() for _ in range(effort.pairs)])
    page.add(Row("fixed cost of `covey run` with work", "s", taken, FIXED, Target("≤", FIXED_LIMIT, ratio=False)))


def call(project: Project, command: str) -> str:
    """What the command prints. Raises RuntimeError if it fails, or finds something to do."""
    return covey(project, command, says="are up to date")


def covey(project: Project, *words: str, says: str) -> str:
    """What `covey WORDS` prints. Raises RuntimeError if it fails, or if `says` is not in what it prints."""
    command = [sys.executable, "-c", "from flows.cli import app; app()", *words]
    done = subprocess.run(command, cwd=project.root, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode or says not in done.stdout:
        raise RuntimeError(f"`covey {' '.join(words)}` should say '{says}':\n{done.stdout[-4000:]}{done.stderr}")
    return done.stdout
