"""Covey from Python: what the command line does, in a handful of functions.

    import covey

    print(covey.run("~/photos", size=128))     # the verdict: which run to take, how sure, at what cost, what next
    covey.scores()                             # a dict for each number of the report
    covey.embed("simclr_cf")                   # a pyarrow table: file, vector, cluster, x, y, neighbors
    covey.export("simclr_cf", to="onnx", folder="model")
    encoder = covey.encoder("simclr_cf")       # a torch module

Functions that work run `covey` itself, in a process of its own, and print what it prints. So a notebook can be closed
and opened again, and the next call goes on from the last checkpoint. `project` is a folder with dvc.yaml, or one in it;
by default the working folder.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.errors import BUSY, REGRESSED, WRONG
from tasks.exporting.options import USUAL
from tasks.process.command import command_environment
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings import own_data, params, source_places
from tasks.settings.schema import ParameterError

if TYPE_CHECKING:
    from pyarrow import Table

    from ssl_models.encoders.encoder import Encoder

__all__ = ["Busy", "Failed", "Mistake", "Verdict", "embed", "encoder", "export", "run", "scores", "verdict"]
Place = str | Path
Mistake = ParameterError
"""A mistake in params.yaml or in an argument; the text says what to do."""


class Failed(RuntimeError):
    """A command of Covey failed; the text is the end of what it said."""


class Busy(Failed):
    """Another `covey run` works in the project."""


@dataclass(frozen=True)
class Verdict:
    """What the report says of one data set.

    data: its name. winner: the run to take; None where none could be scored, or none passes an untrained network.
    answer: that in a sentence. sure: how sure it is, and what qualifies it. cost: what the best run took. next_steps:
    what to try, and why. page: the report.
    """

    data: str
    winner: str | None
    answer: str
    sure: tuple[str, ...]
    cost: str
    next_steps: tuple[str, ...]
    page: Path

    def __str__(self) -> str:
        lines = [self.answer, *self.sure, self.cost, *(f"Next: {step}" for step in self.next_steps)]
        return "\n".join([*(line for line in lines if line), f"Report: {self.page}"])


def run(
    data: Place | None = None,
    *,
    labels: Place | None = None,
    size: int | None = None,
    group: Place | None = None,
    runs: str | None = None,
    protocols: str | None = None,
    targets: Sequence[str] = (),
    jobs: int | None = None,
    force: bool = False,
    project: Place = ".",
) -> Verdict:
    """Brings the pipeline up to date, as `covey run`, and gives the verdict on the selected data set.

    data: a data set of params.yaml, or a folder, a list, a table or tars of pictures, a folder of sounds, a text.
    Relative paths count from the working folder, and from the project where nothing lies there.
    labels: "auto", "folders", "none", or a table. size: of pictures, in pixels. group: "folder", "day", or a table.
    runs, protocols: a set and a suite of params.yaml, or "all". These five stay selected afterwards.
    targets: stages, runs or protocols; all that is selected where there are none. jobs: how many stages at once.
    Raises Mistake for what params.yaml cannot hold, Busy, and Failed where a stage failed: `verdict` then tells what
    could be measured.
    """
    options: dict[str, Any] = {"data": _source(project, data), "labels": _table(labels), "size": size}
    options |= {"group": _table(group), "runs": runs, "protocols": protocols}
    words = [str(target) for target in targets]
    for name, value in (options | {"jobs": jobs}).items():
        words += [] if value is None else [f"--{name}", str(value)]
    _command(project, "run", *words, *(["--force"] if force else []))
    return verdict(project=project)


def verdict(*, project: Place = ".") -> Verdict:
    """The verdict on the selected data set, by the records that are there. Raises Mistake where there is no report."""
    from tasks.reporting import advice, records, verdict
    from tasks.reporting.ranking import ranking, winner
    from tasks.selection import scope

    with _inside(project) as found:
        page = found.root / paths.REPORT
        if not page.exists():
            raise Mistake(f"there is no report yet ({page}); `covey.run()` writes it.")
        (data,) = records.collect(found, scope.narrowed(found.parameters), {})
        first = next((run for run, _, _ in ranking(data)), None)
        answer, *sure = verdict.verdict(data)
        cost, steps = (advice.cost(data, first), advice.next_steps(data, first)) if first else ("", [])
        taken = winner(data)
        name = taken.name if taken else None
        return Verdict(data.name, name, answer, tuple(sure), cost, tuple(steps), page)


def scores(*, project: Place = ".") -> list[dict[str, Any]]:
    """The rows of results/scores.csv: data, run, protocol, layer, metric, value, low and high (95 %), and others.

    `pandas.DataFrame(covey.scores())` makes a table of them. Raises Mistake where there is none yet.
    """
    with _inside(project) as found:
        path = found.root / paths.SCORES
        if not path.exists():
            raise Mistake(f"there is no {path} yet; `covey.run()` writes it.")
        with open(path, newline="") as file:
            return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]


def embed(
    run: str,
    *sources: Place,
    output: Place | None = None,
    layer: str = USUAL.layer,
    clusters: int = USUAL.clusters,
    neighbours: int = USUAL.neighbours,
    coordinates: bool | None = USUAL.coordinates,
    project: Place = ".",
) -> Table:
    """The vectors of a run's own data, or of new pictures, as a pyarrow table; its columns: `covey embed --help`.

    sources: folders, picture files, or lists of them (.txt). output: a parquet file that is kept; what lies there is
    written over. layer: whose vectors. clusters, neighbours: how many. coordinates: whether x and y are computed;
    by default for up to 100,000 rows.
    Raises Mistake for a run that is not trained, a layer that it does not have, and pictures that cannot be read.
    """
    from pyarrow import parquet

    _require_name(run)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.parquet" if output is None else Path(output).expanduser().absolute()
        words = ["embed", run, *(str(Path(source).expanduser().absolute()) for source in sources), "--force"]
        words += ["--output", str(file), "--layer", layer, "--clusters", str(clusters), "--neighbours", str(neighbours)]
        words += {None: [], True: ["--coordinates"], False: ["--no-coordinates"]}[coordinates]
        _command(project, *words)
        return parquet.read_table(file)


def export(run: str, *, to: str, folder: Place, force: bool = False, project: Place = ".") -> Path:
    """Writes a run's encoder for other programs, as `covey export`; returns the folder, which holds a README.md.

    to: "torchvision", "timm", "onnx" or "safetensors". folder: is made. force: whether it may be there already.
    Raises Mistake for an encoder that the format cannot hold, and a run that is not trained.
    """
    _require_name(run)
    place = Path(folder).expanduser().absolute()
    _command(project, "export", run, "--to", to, "--output", str(place), *(["--force"] if force else []))
    return place


def encoder(run: str, *, project: Place = ".") -> Encoder:
    """A run's encoder on the selected data set: a torch module, on the CPU and in evaluation mode.

    It maps pictures (B, 3, H, W), floats in [0, 1], to vectors (B, dim). Raises Mistake for a run that is not trained.
    """
    from tasks.artifacts import trained
    from tasks.artifacts.encoders import read_encoder

    _require_name(run)
    with _inside(project) as found:
        trained.require_run(found, run, "covey.encoder")
        trained.require_trained(found, run)
        return read_encoder(found.places.encoder(run))


def _require_name(run: Any) -> None:
    if not isinstance(run, str):
        raise Mistake(
            f"run: {run!r} is no name of a run. The winner of a verdict is None where no run could be scored; its text "
            "says why."
        )


def _source(project: Place, data: Place | None) -> Place | None:
    """`data` as the project reads it: a name of one of its data sets, or what lies in the caller's working folder."""
    with _inside(project) as found:
        known = params.read(found.root).get("datasets") or {}
    if data is None or data in known:
        return data
    with suppress(OSError, RuntimeError, ValueError):  # what can be no path is refused by the command
        if source_places.missing(Path(), str(data)) is None:
            return Path(data).expanduser().absolute()
    return data


def _table(value: Place | None) -> Place | None:
    """`labels` or `group`: a keyword, or a table in the caller's working folder."""
    if value is not None and str(value).lower().endswith(own_data.TABLE):
        with suppress(OSError, RuntimeError, ValueError):
            if (path := Path(value).expanduser()).is_file():
                return path.absolute()
    return value


@contextmanager
def _inside(project: Place) -> Iterator[Project]:
    """The project of a folder, which is the working folder meanwhile."""
    place = Path(project).expanduser()
    if not place.is_dir():
        raise Mistake(f"there is no folder {place}.")
    with chdir(place):
        yield Project.find()


def _command(project: Place, *words: str) -> None:
    """Runs `covey WORDS` in the project and prints what it prints, as it comes. Raises as its exit code says."""
    code = "from flows.cli import app; app()"
    with _inside(project) as found:
        environment = command_environment({"PYTHONPATH": str(Path(__file__).parent)})
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=found.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            said = [*said[-20:], line.rstrip()]
    except BaseException:
        process.terminate()  # as Ctrl-C in a notebook: all stages end, and the next run goes on
        process.wait()
        raise
    if (ended := process.wait()) not in (0, REGRESSED):
        last = next((line for line in reversed(said) if line.startswith("covey: ")), "\n".join(said))
        kind = {WRONG: Mistake, BUSY: Busy}.get(ended, Failed)
        raise kind(last.removeprefix("covey: ") or f"covey {words[0]} ended with exit code {ended}")


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
