"""How fast photographs are decoded, beside a bare loop over Pillow on as many threads."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measuring import Effort, compare, seconds_of
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from ssl_models.datasets._pictures import decoding
from ssl_models.datasets._pictures.arrangement import Entry, Listing

WIDTH, HEIGHT, SIZE, STORE, WORKERS = 2048, 1536, 128, 1.15, 2
FILES, SAMPLES = 40, 320
HOW = (
    "{samples:,} JPEGs of " + f"{WIDTH} x {HEIGHT} pixels ({FILES} different ones), on {WORKERS} threads. Ours: "
    f"`decoding.read` at {SIZE} px, stored at {STORE} times that, to a file, with origins. The other on "
    f"as many threads: `Image.open`, `draft` and `ImageOps.fit` to {SIZE} px, into an array in memory."
)


def measure(effort: Effort, page: Page, samples: int = SAMPLES) -> None:
    """Adds the row of decoding."""
    files, samples = (4, 8) if effort.quick else (FILES, samples)
    with tempfile.TemporaryDirectory() as folder:
        different = photographs(Path(folder), files)
        paths = [different[index % files] for index in range(samples)]
        mine, others, ratio = compare(
            lambda: samples / seconds_of(partial(ours, paths, Path(folder))),
            lambda: samples / seconds_of(partial(bare, paths)),
            effort.pairs,
        )
    target = Target("≥", 0.8, ratio=True)
    how, what = HOW.format(samples=samples), f"decoding {samples:,} photographs"
    page.add(Row(what, "pictures/s", mine, how, target, "a bare loop over Pillow", others, ratio))


def photographs(folder: Path, count: int) -> list[Path]:
    """JPEGs of some 0.8 MB: smooth patches of colour, with the noise of a sensor."""
    from PIL import Image

    random = np.random.default_rng(0)
    paths = [folder / f"{index}.jpg" for index in range(count)]
    for path in paths:
        patches = Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        smooth = np.asarray(patches.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = smooth + random.integers(-10, 11, (HEIGHT, WIDTH, 1))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return paths


def ours(paths: Sequence[Path], room: Path) -> None:
    entries = [Entry(path.name, path) for path in paths]
    decoding.read(Listing(entries[1:], entries[:1]), "", size=SIZE, store=STORE, room=room, workers=WORKERS)


def bare(paths: Sequence[Path]) -> None:
    images = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    with ThreadPoolExecutor(WORKERS) as pool:
        for index, image in enumerate(pool.map(bare_one, paths)):
            images[index] = image


def bare_one(path: Path) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.draft("RGB", (SIZE, SIZE))
        return np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BICUBIC))
