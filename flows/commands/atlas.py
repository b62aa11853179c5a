"""`covey atlas`: a run's data in embedding-atlas, a page that is served on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from flows import completion
from flows.commands.embed import Trained, write
from flows.errors import refusals
from flows.opening import opened
from tasks.exporting.options import USUAL, Options
from tasks.process.files import remembered, state_of, write_json
from tasks.project.project import Project
from tasks.settings.schema import ParameterError

COMMAND, PROGRAM = "covey atlas", "embedding-atlas"


def atlas(
    run: Trained,
    layer: Annotated[
        str, typer.Option(autocompletion=completion.layers, help="The layer whose vectors are shown.")
    ] = USUAL.layer,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The page's port; the next free one from there.")] = 5055,
) -> None:
    """Opens a run's data in embedding-atlas: a map with thumbnails, search, and tables of all that is known.

    Examples:

        covey atlas simclr_cf      prints the page's address; Ctrl-C stops it

    embedding-atlas is an extra: `pip install embedding-atlas`. The map in the report needs nothing more. The page
    listens on 127.0.0.1 only. It reads the parquet file that `covey embed` writes, with small pictures in it.
    """
    with refusals():
        from tasks.artifacts import trained  # numpy comes with it

        project = opened()
        trained.require_run(project, run, COMMAND)
        trained.require_trained(project, run)
        trained.require_same_samples(project, run)
        trained.require_layer(project, run, layer, COMMAND)
        program = _program()
        file = _table(project, run, layer)
        words = [program, str(file), "--x", "x", "--y", "y", "--neighbors", "neighbors", "--disable-projection"]
        words += ["--host", "127.0.0.1", "--port", str(port), "--auto-port"]
        with suppress(KeyboardInterrupt):
            ended = subprocess.run([*words, *_pictures(file)], check=False).returncode
            if ended:
                raise ParameterError(f"{PROGRAM} ended with exit code {ended}; what it said stands above.")


def _program() -> str:
    """The command, beside this Python or on the path. Raises ParameterError where there is none."""
    found = shutil.which(PROGRAM, path=str(Path(sys.executable).parent)) or shutil.which(PROGRAM)
    if found is None:
        raise ParameterError(
            f"there is no `{PROGRAM}` here: `pip install embedding-atlas` brings it. The report has a map that needs "
            "nothing more (`covey report`)."
        )
    return found


def _table(project: Project, run: str, layer: str) -> Path:
    """The parquet file of a run, written anew where the run's features are others than those it was made of."""
    folder = project.state / "atlas" / project.places.data
    folder.mkdir(parents=True, exist_ok=True)
    file, note = folder / f"{run}.{layer}.parquet", folder / f"{run}.{layer}.json"
    features = project.places.features(run)
    states = {str(path.relative_to(features)): str(state_of(path)) for path in sorted(features.glob(f"*.{layer}.npy"))}
    if not file.exists() or remembered(note) != states:
        write(project, run, file, [], Options(layer, coordinates=True, pictures=True))
        write_json(note, states)
    return file


def _pictures(file: Path) -> list[str]:
    """The option that names the column of pictures, where the file has one."""
    from pyarrow import parquet

    return ["--image", "image"] if "image" in parquet.read_schema(file).names else []
