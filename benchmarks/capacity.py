"""What a large set of photographs takes: memory in each stage, and the rate of decoding. Written to CAPACITY.md.

`make bench-capacity` takes half an hour and 9 GiB of the disk; `python -m benchmarks.capacity PICTURES` is a trial.
Each stage works in a process of its own, as `covey run` has it, on the outputs of the one before.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy
from PIL import Image

from benchmarks import decoding, maps
from benchmarks.measuring import Effort, spread
from benchmarks.page import Page, machine_facts
from benchmarks.rows import Row, Target

PICTURES, SIDE, CLASSES, DECODED = 200_000, 96, 10, 20_000
RESULTS = Path(__file__).with_name("CAPACITY.md")
INTRODUCTION = "Written by `make bench-capacity`, in one run. The rate of decoding is of one pair, ours and the other."
FILES, STORED_SIDE = 64, (110, 120)
"""Different pictures, each of which lies in the folder under many names; their height and width."""
LIMIT = 2.0
RUN = "rotation"
ENCODER = {"name": "resnet", "depth": 10, "width": 8, "stem_stride": 4}
STAGES = ("prepare", "pretrain", "extract")
HOW = (
    "{pictures:,} JPEG files of {height} x {width} px ({files} different ones, hard-linked), used at {side} px: "
    "{gigabytes:.1f} GiB of training and test pictures in files. {work} The peak of the resident memory of a process "
    "that does nothing else, libraries included; it took {seconds:.0f} s."
)
WORKS = {
    "prepare": "The stage decodes them.",
    "pretrain": "The stage trains rotation for one epoch, in batches of 256, with a ResNet-10 of width 8.",
    "extract": "The stage writes the features of all layers of that encoder.",
}


def measure(page: Page, pictures: int) -> None:
    """Adds a row a stage."""
    gigabytes = pictures * 3 * SIDE**2 / 2**30
    if (free := shutil.disk_usage(".").free / 2**30) < 1.5 * gigabytes + 1:
        raise OSError(f"{pictures:,} pictures take {1.5 * gigabytes + 1:.0f} GiB of the disk, and {free:.0f} are free")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        make(Path(folder) / "photos", pictures)
        for stage in STAGES:
            started = time.perf_counter()
            peak = spread([_peak(stage, Path(folder)) / 2**30])
            told = {"files": FILES, "height": STORED_SIDE[0], "width": STORED_SIDE[1], "side": SIDE}
            seconds = time.perf_counter() - started
            how = HOW.format(pictures=pictures, gigabytes=gigabytes, work=WORKS[stage], seconds=seconds, **told)
            page.add(Row(f"{stage}, {pictures:,} pictures", "GiB", peak, how, Target("<", LIMIT, ratio=False)))


def make(folder: Path, pictures: int) -> None:
    """Class folders of JPEG files: smooth noise, so that they are as large as photographs are."""
    draws = numpy.random.default_rng(0)
    first = []
    for number in range(pictures):
        path = folder / f"class{number % CLASSES}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < FILES:
            coarse = Image.fromarray(draws.integers(0, 256, (14, 15, 3), dtype=numpy.uint8))
            coarse.resize(STORED_SIDE[::-1], Image.Resampling.BICUBIC).save(path, quality=90)
            first.append(path)
        else:
            os.link(first[number % FILES], path)


def work(stage: str, folder: Path) -> None:
    """One stage, in the project that lies in `folder`."""
    from tasks.project.project import Project
    from tasks.stage.context import Context

    photos = {"name": "photos", "reader": "folder", "source": str(folder / "photos"), "size": SIDE}
    parameters: dict[str, Any] = {
        "seed": 0,
        "data": photos,
        "encoder": ENCODER,
        "training": {"epochs": 1, "batch_size": 256},
        "machine": {"precision": "auto", "threads": 2},
        "extract": {},
        "pretrain": {RUN: {"method": "rotation"}},
        "clusterfit": {},
    }
    (folder / "work").mkdir(exist_ok=True)
    context = Context(Project.given(folder, parameters), stage, folder / "work", MagicMock())
    _works()[stage](context)


def _works() -> dict[str, Callable[[Any], object]]:
    from tasks.extract import extract
    from tasks.prepare import prepare
    from tasks.pretrain import pretrain

    return {
        "prepare": prepare,
        "pretrain": lambda context: pretrain(context, RUN),
        "extract": lambda context: extract(context, RUN),
    }


def _peak(stage: str, folder: Path) -> int:
    """Bytes: the most that a new process held while it worked."""
    command = [sys.executable, "-m", "benchmarks.capacity", "--stage", stage, str(folder.resolve())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.splitlines()[-1])


def _own_peak() -> int:
    """Bytes. Of this program alone: `ru_maxrss` begins with what the process held that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(arguments: list[str]) -> None:
    """A stage of its own, or all; only the full number of pictures is written down."""
    if arguments[:1] == ["--stage"]:
        work(arguments[1], Path(arguments[2]))
        print(_own_peak())
        return
    from ssl_models.hardware import pick_device, resolve_precision

    pictures = int(arguments[0]) if arguments else PICTURES
    page, facts = Page(), machine_facts(RESULTS.parents[1], resolve_precision("auto", pick_device()))
    effort = Effort(pairs=1)
    decoding.measure(effort, page, min(DECODED, pictures))
    measure(page, pictures)
    if pictures == PICTURES:
        text, below = page.markdown(facts, effort.pairs, INTRODUCTION), maps.section()
        RESULTS.write_text(f"{text}\n{below}" if below else text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
