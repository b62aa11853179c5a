"""The map of 20,000 pictures: seconds of each part, and the size of the page. Written to CAPACITY.md below the rest.

`make bench-map` takes some minutes; `python -m benchmarks.maps PICTURES` is a trial. $COVEY_DATA holds CIFAR-10.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy

from benchmarks.page import bullets, machine_facts, table

PICTURES, SIDE = 20_000, 96
RESULTS = Path(__file__).with_name("CAPACITY.md")
HEAD = "## The map of 20,000 pictures"
RUN, THREADS = "random", 1
ENCODER = {"name": "resnet", "depth": 10, "width": 32, "stem_stride": 4}
HOW = (
    "Written by `make bench-map`, in one run: CIFAR-10's photographs and their mirror images at {side} px, and the "
    "pooled features ({size} numbers) of an untrained ResNet-10 of width 32. Seconds of wall time on one thread."
)
MACHINE = ("CPU", "versions", "load average before", "date", "commit")


def prepare(root: Path, pictures: int) -> None:
    """Writes the data set and the features of an untrained encoder, as `prepare` and `extract` leave them."""
    import torch

    from ssl_models.datasets import cifar10
    from ssl_models.encoders import build_encoder
    from ssl_models.extraction import extract_features
    from tasks.artifacts.tables import write_table
    from tasks.process.files import write_json

    places = _project(root).places
    places.dataset.mkdir(parents=True)
    places.features(RUN).mkdir(parents=True)
    (places.metrics / "pictures").mkdir(parents=True)
    data = cifar10.load(seed=0, source=cifar10.__file__, size=SIDE)
    torch.manual_seed(0)
    encoder, counts = build_encoder(**ENCODER), {}
    for split, own in (("train", data.train), ("test", data.test)):
        images = numpy.asarray(own.parts["images"])
        images = numpy.concatenate([images, images[..., ::-1]])[: pictures * len(images) // 10_000]
        numpy.save(places.dataset / f"{split}.images.npy", images)
        files = [f"class {number % 10}/{number:05}.png" for number in range(len(images))]
        write_table(places.dataset / f"{split}.origin.parquet", {"file": files})
        numpy.savez(places.dataset / f"{split}.factors.npz")
        counts[split] = len(images)
        batches = extract_features(encoder, {"images": images}, torch.device("cpu"), size=512)
        found = numpy.concatenate([batch["pooled"].numpy() for batch in batches])
        numpy.save(places.features(RUN) / f"{split}.pooled.npy", found.astype(numpy.float16))
    facts = {"classes": [], "labelled": False, "skipped": [], "shapes": {"images": [3, SIDE, SIDE]}}
    write_json(places.dataset / "dataset.json", counts | facts)


def measure(root: Path) -> list[tuple[str, str]]:
    """(what, how much) of each part, and of the page."""
    from ssl_models.atlas import groups, layout, neighbours
    from tasks import atlas, report
    from tasks.artifacts.dataset import Stored
    from tasks.stage.context import Context

    project = _project(root)
    data = Stored(project.places.dataset)
    rows = {split: numpy.arange(data.description[split]) for split in ("train", "test")}
    features, settings = atlas.read_features(project.places, RUN, rows), project.parameters["maps"]
    stage = partial(_stage, Context(project, "atlas", root / "work", MagicMock()))
    parts: dict[str, Callable[[], Any]] = {
        "coordinates": partial(layout.lay_out, features, seed=0, threads=THREADS),
        "neighbours": partial(neighbours.nearest, features, settings["neighbours"]),
        "clusters": partial(groups.clusters, features, settings["clusters"], seed=0, threads=THREADS),
        "thumbnails": partial(atlas.look_at, data, rows),
        "the stage, all of it": stage,
        "the stage again, scores alone changed": stage,
        "the report": partial(report.write, project),
    }
    found = [(what, _seconds(work)) for what, work in parts.items()]
    sheets = sum(path.stat().st_size for path in project.places.maps.glob("*.webp"))
    page = (root / "results" / "report.html").stat().st_size
    return [*found, ("sheets of thumbnails", f"{sheets / 1e6:.1f} MB"), ("size of the page", f"{page / 1e6:.1f} MB")]


def _stage(context: Any) -> None:
    from tasks import atlas

    atlas.atlas(context)


def _seconds(work: Callable[[], Any]) -> str:
    """Of wall time, and of the processor: on a busy machine the second is the one to go by."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return f"{time.perf_counter() - started:.1f} s ({time.process_time() - busy:.1f} s of the processor)"


def _project(root: Path) -> Any:
    from tasks.project.project import Project

    parameters = {
        "seed": 0,
        "data": {"name": "photos"},
        "encoder": {},
        "training": {},
        "extract": {},
        "machine": {"threads": THREADS},
        "pretrain": {RUN: {"method": "random"}},
        "clusterfit": {},
        "transfer": {},
        "targets": {},
        "maps": {"runs": "winner", "samples": PICTURES, "neighbours": 10, "clusters": 24},
    }
    return Project.given(root, parameters)


def section() -> str:
    """What stands below the other measurements in CAPACITY.md; empty where nothing does."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    return text[text.index(HEAD) :] if HEAD in text else ""


def main(arguments: list[str]) -> None:
    """All; torch works in a process of its own. Only the full number of pictures is written down."""
    if arguments[:1] == ["--prepare"]:
        prepare(Path(arguments[1]), int(arguments[2]))
        return
    pictures = int(arguments[0]) if arguments else PICTURES
    with tempfile.TemporaryDirectory(dir=".") as folder:
        root = Path(folder).resolve()
        subprocess.run([sys.executable, "-m", "benchmarks.maps", "--prepare", str(root), str(pictures)], check=True)
        os.environ["OMP_NUM_THREADS"] = str(THREADS)
        load = f"{os.getloadavg()[0]:.1f}"
        rows = measure(root)
        size = numpy.load(next(root.glob("runs/*/*/features/train.pooled.npy")), mmap_mode="r").shape[1]
    facts = machine_facts(RESULTS.parents[1], "") | {"load average before": load}
    told = "\n".join(bullets((name, facts[name]) for name in MACHINE))
    text = f"{HEAD}\n\n{HOW.format(side=SIDE, size=size)}\n\n{told}\n\n{table(('what', 'measured'), rows)}\n"
    print(text)
    if pictures == PICTURES:
        before = RESULTS.read_text(encoding="utf-8").removesuffix(section()).rstrip()
        RESULTS.write_text(f"{before}\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
