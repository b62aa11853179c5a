"""Exports loaded by their cards' own lines in a process that cannot import this project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.artifacts.encoders import read_encoder
from tasks.exporting import check, export, formats
from tasks.project.project import Project
from tests.tasks.exporting import trained

GIVEN = {"heard": "sound", "levels": "sound", "texts": "ids"}
SIZES = (1, 7)
FOREIGN = """
import os, sys
import numpy, torch

for name in OWN:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} can be imported")

root = os.getcwd()
for name, given, arrays in CASES:
    os.chdir(os.path.join(root, name))
    load, use = (open(f"../{name}.{part}").read() for part in ("load", "use"))
    there = {}
    exec(load, there)
    for size in SIZES:
        batch = numpy.load(f"../{name}.{size}.npy")
        there[given] = batch if arrays else torch.from_numpy(batch)
        exec(use, there)
        numpy.save(f"../{name}.{size}.vectors.npy", numpy.asarray(there["vectors"]))
"""


def blocks(folder: Path) -> list[str]:
    """The Python of a card: what loads, and what uses."""
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)


def batch(shape: tuple[int, ...], size: int, run: str) -> np.ndarray:
    """(size, *shape), as the run's encoder is given it."""
    generator = np.random.default_rng(size)
    if run == "texts":
        return generator.integers(0, len(trained.WORDS), (size, *shape))
    numbers = generator.random((size, *shape), np.float32)
    return numbers * 2 - 1 if GIVEN.get(run) == "sound" else numbers


def exported(root: Path, out: Path, exports: Mapping[tuple[str, str], tuple[int, ...]]) -> Project:
    """Exports each run and form of `exports` to out/RUN-FORM, and has one process load them all.

    Beside it lie out/RUN-FORM.SIZE.vectors.npy, what the card's lines gave, and ... .own.npy, what the encoder gives.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other take the time of others
    project = trained.make(root, *{run for run, _ in exports})
    cases = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "difference", lambda *_: 1e-7)  # here a process of all is what compares
        for (run, to), shape in exports.items():
            name = f"{run}-{to}"
            formats.refuse(project, run, to, out / name, force=False)
            export.export(project, run, to, str(out / name))
            for part, text in zip(("load", "use"), blocks(out / name), strict=True):
                (out / f"{name}.{part}").write_text(text)
            encoder = read_encoder(project.places.encoder(run))
            for size in SIZES:
                given = batch(shape, size, run)
                np.save(out / f"{name}.{size}.npy", given)
                with torch.inference_mode():
                    np.save(out / f"{name}.{size}.own.npy", encoder(torch.from_numpy(given)).numpy())
            cases.append((name, GIVEN.get(run, "pictures"), to == "onnx"))
    torch.set_num_threads(threads)
    code = FOREIGN
    for word, value in (("OWN", check.OWN), ("CASES", cases), ("SIZES", SIZES)):
        code = code.replace(word, repr(value))
    command, environment = [sys.executable, "-I", "-c", check.BAR + code], {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return project


def require_equal(out: Path, run: str, to: str, size: int) -> None:
    """Both gave the same vectors, and not the same one for all samples' numbers."""
    found, own = (np.load(out / f"{run}-{to}.{size}.{kind}.npy") for kind in ("vectors", "own"))
    assert found.shape == own.shape
    assert len(found) == size
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-5)
    assert np.ptp(own) > 1e-3
