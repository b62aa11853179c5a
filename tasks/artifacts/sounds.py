"""Sounds to listen to: one of each class of a data set, as WAV files."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from tasks.process.files import whole_file

MOST = 12
"""Sounds of a page."""


def write_examples(
    folder: Path,
    samples: Mapping[str, numpy.ndarray],
    labels: numpy.ndarray | None,
    classes: Sequence[str],
    known: Mapping[str, Any],
) -> dict[str, str]:
    """Writes the first sample of each class (12 at most), or the first eight without labels; file -> what it is."""
    if labels is None:
        chosen = {f"{row + 1}": row for row in range(min(8, len(samples["sound"])))}
    else:
        first = {name: numpy.flatnonzero(labels == label) for label, name in enumerate(classes[:MOST])}
        chosen = {name: int(rows[0]) for name, rows in first.items() if len(rows)}
    found = {}
    for number, (word, row) in enumerate(chosen.items()):
        heard = samples["sound"][row]
        if "length" in samples:
            heard = heard[: max(1, int(samples["length"][row, 0]))]
        found[f"{number:02d}.wav"] = word
        with whole_file(folder / f"{number:02d}.wav") as temporary:
            temporary.write_bytes(wav(heard, int(known["rate"])))
    return found


def wav(sound: numpy.ndarray, rate: int) -> bytes:
    """(S,) int16 of one channel at `rate` Hz -> the bytes of a WAV file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
    return content.getvalue()
