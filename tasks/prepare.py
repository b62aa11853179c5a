"""Stage `prepare`: a data set of whatever origin as a few large files, and pictures to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_models.previews import columns
from tasks.artifacts import readers
from tasks.artifacts.dataset import Stored
from tasks.artifacts.pictures import drawn, names_of, sample_rows, save_png
from tasks.artifacts.sounds import write_examples
from tasks.artifacts.track_pictures import tracked_clips
from tasks.process.files import write_json
from tasks.settings.readers import reader_of
from tasks.stage.context import Context, Result

if TYPE_CHECKING:
    from ssl_models.datasets._common.split import Dataset


def prepare(context: Context) -> Result:
    """-> data/<data>/, metrics/<data>/prepare.json, metrics/<data>/pictures/; what the reader notes, to the log."""
    block, seed = context.parameters["data"], context.parameters["seed"]
    dataset = readers.load(context.project.root, block, seed, context.places.dataset)
    _draw(context.places.pictures, dataset, reader_of(block), seed)
    summary = Stored(context.places.dataset).write(dataset)
    known: dict[str, Any] = {"notes": list(dataset.notes)} if dataset.notes else {}
    if (origin := dataset.train.origin) is not None and origin.sizes is not None:
        known |= {"side": int(origin.sizes.min(1).values.median())}  # of the pictures before they were scaled
    write_json(context.places.preparation, summary | known)
    return Result(readers.counts(dataset))


def _draw(folder: Path, dataset: Dataset, reader: Any, seed: int) -> None:
    """samples.png, sweeps.png where factors are known, tracks.png, and sounds; samples.json tells what they show."""
    labels = None if dataset.train.labels is None else dataset.train.labels.numpy()
    samples = {part: stored.numpy() for part, stored in dataset.train.parts.items()}
    shown = sample_rows(len(dataset.train), labels, len(dataset.classes), columns(samples))
    save_png(folder / "samples.png", drawn(samples, shown, dataset.known))
    rows: dict[str, Any] = {"rows": list(dataset.classes[:20]) if labels is not None else [], "sweeps": []}
    rows |= names_of(dataset.train.origin.files if dataset.train.origin else (), shown)
    if "sound" in samples:
        rows["sounds"] = write_examples(folder, samples, labels, dataset.classes, dataset.known)
    if "tracks" in samples:
        boxes = dataset.train.truth.get("frame_boxes")
        tracked = tracked_clips(samples, None if boxes is None else boxes.numpy())
        if tracked is not None:
            save_png(folder / "tracks.png", tracked)
    if hasattr(reader, "factor_sweep"):
        picture, names = reader.factor_sweep(seed=seed)
        save_png(folder / "sweeps.png", picture.permute(1, 2, 0).numpy())
        rows["sweeps"] = list(names)
    write_json(folder / "samples.json", rows)
