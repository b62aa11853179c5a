"""`covey export` writes a run's encoder for torchvision, timm, ONNX or torch alone to load, with a card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import completion
from flows.commands.embed import Trained
from flows.errors import refusals
from flows.opening import opened
from tasks.stage.apart import call


def export(
    run: Trained,
    to: Annotated[
        str,
        typer.Option("--to", autocompletion=completion.forms, help="torchvision, timm, onnx or safetensors."),
    ],
    folder: Annotated[Path, typer.Option("--output", "-o", help="A folder that is not there, or empty.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Writes the encoder of a run on the selected data set into a folder, where others can load it without Covey.

    The folder holds the weights and README.md, a card: three lines that load it, what goes in, the data, the method,
    the settings, and the scores with their intervals. The lines are tried, and their vectors compared with the
    encoder's, before the folder appears.

    - torchvision, timm: weights under the library's own names, for encoders that it has too
    - onnx: for ONNX Runtime and others, with the standardisation of inputs in it
    - safetensors: for torch alone, with the network's code

    Examples:

        covey export rotation --to timm -o rotation

        covey export rotation_cf --to onnx -o model --force
    """
    from tasks.exporting import formats

    with refusals():
        project, path = opened(writes=False), folder.expanduser().absolute()
        formats.refuse(project, run, to, path, force=force)
        difference = call(project, "tasks.exporting.export:export", run, to, str(path))
    print(f"{path}: loads as README.md there says, and gives the encoder's vectors to within {difference:.1g}")
