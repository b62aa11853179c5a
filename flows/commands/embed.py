"""`covey embed`: a run's vectors as a parquet file, of its own data or of new pictures."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows import completion
from flows.errors import refusals
from flows.opening import opened
from tasks.exporting.options import USUAL, Options
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.settings.values import plain
from tasks.stage.apart import call

COMMAND = "covey embed"
Trained = Annotated[
    str,
    typer.Argument(
        autocompletion=completion.runs, help="A run of params.yaml that has been trained on the selected data set."
    ),
]


def embed(
    run: Trained,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDER|FILES]...",
            help="New pictures: folders of any depth, files, or lists (.txt). Default: the data set itself.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The parquet file.")] = Path("vectors.parquet"),
    layer: Annotated[
        str, typer.Option(autocompletion=completion.layers, help="The layer whose vectors are written.")
    ] = USUAL.layer,
    clusters: Annotated[int, typer.Option(min=2, help="How many clusters.")] = USUAL.clusters,
    neighbours: Annotated[
        int, typer.Option(min=1, max=100, help="How many neighbours of each row.")
    ] = USUAL.neighbours,
    coordinates: Annotated[
        bool | None,
        typer.Option(
            "--coordinates/--no-coordinates",
            help="Whether x and y are written, by t-SNE. Default: for up to 100,000 rows.",
        ),
    ] = USUAL.coordinates,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Writes the vectors of pictures by a run's encoder, with their clusters, coordinates and neighbours.

    Examples:

        covey embed simclr -o vectors.parquet                of the data set, training rows first

        covey embed simclr ~/new -o new.parquet              of a folder that the run has not seen

        covey embed simclr a.jpg b.png -o two.parquet --layer res4

    Columns: `file`, `vector`, `cluster` and `distance` to its centre, `x` and `y`, and `neighbors` with the `ids` of
    the nearest rows and their `distances`; of the data set itself also `split`, `label` and `group`, where they are
    known. Distances are 1 - cosine. Clusters are those of the data set's training rows, for new pictures too.
    """
    with refusals():
        from tasks.artifacts import trained, writable  # numpy comes with it

        project, path = opened(writes=False), output.expanduser().absolute()
        trained.require_run(project, run, COMMAND)
        trained.require_trained(project, run)
        trained.require_same_samples(project, run)
        layers = trained.require_layer(project, run, layer, COMMAND)
        writable.require_writable(path, force=force)
        rows, size = write(project, run, path, sources or [], Options(layer, clusters, neighbours, coordinates))
        print(f"{rows:,} rows, vectors of {size} numbers ({layer}; there are {', '.join(layers)}): {path}")


def write(project: Project, run: str, path: Path, sources: list[str], options: Options) -> list[int]:
    """Writes the table to `path`: how many rows it has, and how many numbers a vector.

    sources: of new pictures; none stands for the data set. torch and faiss work in processes of their own, see
    ssl_models/clustering.py.
    """
    places = [str(Path(source).expanduser().absolute()) for source in sources]
    if gone := next((place for place in places if not Path(place).exists()), None):
        raise ParameterError(f"there is no {plain(gone)}.")
    with tempfile.TemporaryDirectory(prefix="covey-") as room:
        if places:
            print(call(project, "tasks.exporting.new_pictures:encode", run, places, options.layer, room, shown=True))
        words = run, str(path), room if places else "", asdict(options)
        found: list[int] = call(project, "tasks.exporting.embedding:write", *words, shown=True)
    return found
