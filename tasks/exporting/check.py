"""Whether what was written gives the encoder's vectors: the card's lines, in a process that cannot import Covey."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from tasks.exporting.form import Loading, Sample
from tasks.process.command import command_environment, run_command

CLOSE = 1e-4
"""Difference that is allowed, as a share of the largest number of all vectors. Libraries add in different orders."""
LAST = 12
OWN = ("covey", "flows", "tasks", "ssl_models")
"""What is importable where this project is installed."""
BAR = f"""import sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OWN}:
            raise ModuleNotFoundError(f"No module named {{name!r}}: an export needs no Covey", name=name)
sys.meta_path.insert(0, Barred())
"""
"""Lines of Python after which none of OWN can be imported, installed or not."""


def program(loading: Loading, sample: Sample, read: Path, write: Path) -> str:
    """The card's lines between those that read a batch and write its vectors; before all, this project is barred."""
    given, found = ("", "vectors") if loading.arrays else (f"torch.from_numpy({sample.given})", "vectors.numpy()")
    lines = [
        *("import numpy", *loading.imports, *loading.load),
        f"{sample.given} = numpy.load({str(read)!r})",
        *([f"{sample.given} = {given}"] if given else []),
        *loading.use,
        f"numpy.save({str(write)!r}, {found})",
    ]
    return BAR + "\n".join(lines)


def difference(folder: Path, loading: Loading, sample: Sample, batch: np.ndarray, vectors: np.ndarray) -> float:
    """The largest distance of any number of the export's vectors from the encoder's.

    Raises RuntimeError where the lines fail, or the vectors are not `CLOSE`.
    """
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryFile() as output:
        read, write = Path(own) / "batch.npy", Path(own) / "vectors.npy"
        np.save(read, batch)
        command = [sys.executable, "-P", "-c", program(loading, sample, read, write)]
        environment = command_environment({"PYTHONDONTWRITEBYTECODE": "1"})
        if run_command(command, folder, output, environment, None, short=True):
            output.seek(0)
            said = output.read().decode(errors="replace").splitlines()[-LAST:]
            raise RuntimeError("\n".join(["the export cannot be loaded by the lines of its card:", *said]))
        found = np.load(write)
    if found.shape != vectors.shape:
        raise RuntimeError(f"the export gives vectors of the shape {found.shape}, the encoder {vectors.shape}")
    distance = float(np.abs(found - vectors).max())
    if not distance <= CLOSE * max(float(np.abs(vectors).max()), 1e-3):
        raise RuntimeError(f"the export's vectors differ from the encoder's by up to {distance:.2g}")
    return distance
