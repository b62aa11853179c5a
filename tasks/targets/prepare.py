"""Stage `prepare_target`: the data that a protocol brings with it, as a few large files."""

from __future__ import annotations

from tasks.artifacts import readers
from tasks.artifacts.dataset import Stored
from tasks.stage.context import Context, Result


def prepare(context: Context, target: str) -> Result:
    """-> data/targets/<target>/."""
    block = context.parameters["targets"][target]["data"]
    folder = context.project.target(target)
    dataset = readers.load(context.project.root, block, context.parameters["seed"], folder)
    Stored(folder).write(dataset)
    return Result(readers.counts(dataset))
