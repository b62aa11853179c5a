"""Stage `prepare`: a data set of whatever origin as a few large files, and pictures to look at."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy

from ssl_models.datasets._common.split import Dataset, Split
from tasks.artifacts.pictures import sample_sheet, save_png
from tasks.project import paths
from tasks.settings.schema import keywords
from tasks.stage.run import Context, Result


def prepare(context: Context) -> Result:
    """-> data/<data>/, metrics/<data>/prepare.json, metrics/<data>/pictures/."""
    block = context.parameters["data"]
    started = time.perf_counter()
    reader = import_module(f"ssl_models.datasets.{block['reader']}")
    settings = reader_settings(context.root, block, context.parameters["seed"])
    dataset: Dataset = reader.load(**settings)
    _draw(context.store.metrics / "pictures", dataset, reader, context.parameters["seed"])
    summary = _write(context.store.dataset, dataset)
    seconds = time.perf_counter() - started
    paths.write_json(context.store.metrics / "prepare.json", summary | {"seconds": seconds})
    return _told(dataset)


def prepare_target(context: Context, target: str) -> Result:
    """-> data/targets/<target>/: the data that a protocol brings with it."""
    block = context.parameters["targets"][target]["data"]
    reader = import_module(f"ssl_models.datasets.{block['reader']}")
    dataset: Dataset = reader.load(**reader_settings(context.root, block, context.parameters["seed"]))
    _write(paths.target_folder(context.root, target), dataset)
    return _told(dataset)


def _told(dataset: Dataset) -> Result:
    for name in dataset.skipped:
        print(f"skipped: {name}")
    return Result({"train": len(dataset.train), "test": len(dataset.test), "skipped": len(dataset.skipped)})


def _write(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Both splits and dataset.json, whose content it gives."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        _write_split(folder, name, split)
    summary = {
        "train": len(dataset.train),
        "test": len(dataset.test),
        "shape": list(dataset.train.images.shape[1:]),
        "classes": list(dataset.classes),
        "labelled": dataset.train.labels is not None,
        "skipped": list(dataset.skipped),
    }
    known = {"points": list(dataset.points)} if dataset.points else {}
    paths.write_json(folder / "dataset.json", summary | known)
    return summary


def reader_settings(root: Path, block: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the reader's `load` is called with; `source` counts from the project's folder."""
    fields = keywords(Path(__file__).parent.parent / "ssl_models" / "datasets" / f"{block['reader']}.py", "load")
    settings = {name: block[name] for name in fields if name in block} | {"seed": seed}
    if "source" in settings:
        settings["source"] = str(root / settings["source"])
    return settings


def _write_split(folder: Path, name: str, split: Split) -> None:
    tensors = {"images": split.images} | ({} if split.labels is None else {"labels": split.labels}) | split.truth
    for kind, tensor in tensors.items():
        with paths.whole_file(folder / f"{name}.{kind}.npy") as temporary, open(temporary, "wb") as file:
            numpy.save(file, tensor.numpy())
    with paths.whole_file(folder / f"{name}.factors.npz") as temporary, open(temporary, "wb") as file:
        arrays = {factor: values.numpy() for factor, values in split.factors.items()}
        numpy.savez(file, **arrays)  # type: ignore[arg-type]


def _draw(folder: Path, dataset: Dataset, reader: Any, seed: int) -> None:
    """samples.png, and for a data set that knows its factors sweeps.png; rows.json names their rows."""
    labels = None if dataset.train.labels is None else dataset.train.labels.numpy()
    save_png(folder / "samples.png", sample_sheet(dataset.train.images.numpy(), labels, len(dataset.classes)))
    rows = {"rows": list(dataset.classes[:20]) if labels is not None else [], "sweeps": []}
    if hasattr(reader, "factor_sweep"):
        picture, names = reader.factor_sweep(seed=seed)
        save_png(folder / "sweeps.png", picture.permute(1, 2, 0).numpy())
        rows["sweeps"] = list(names)
    paths.write_json(folder / "samples.json", rows)
