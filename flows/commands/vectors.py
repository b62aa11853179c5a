"""`covey vectors` writes a run's vectors of words to a file, for gensim and others to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import completion
from flows.errors import refusals
from flows.opening import opened
from tasks.stage.apart import call


def vectors(
    run: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.runs,
            help="A run of params.yaml whose encoder has vectors of words, as `bag` has.",
        ),
    ],
    file: Annotated[Path, typer.Argument(help="Binary for .bin, text for .txt or .vec; compressed with .gz after it.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Writes the vectors of words that a run has learnt on the selected data set, in the formats of word2vec.

    Examples:

        covey vectors skip_gram vectors.bin

        covey vectors skip_gram vectors.txt.gz --force

    gensim reads them: `KeyedVectors.load_word2vec_format("vectors.bin", binary=True)`.
    """
    from tasks.artifacts import word_vectors  # numpy comes with it

    with refusals():
        project, path = opened(writes=False), file.expanduser().absolute()
        word_vectors.refuse(project, run, path, force=force)
        count, size = call(project, "tasks.artifacts.word_vectors:export", run, str(path))
    print(f"{count:,} words of {size} numbers each: {path}")
