"""Pictures of one or two objects of the rendered world, and the sound of one of them; each class has a timbre.

It is an instrument, not a benchmark: which object sounds, and where it is, is known. Neither the picture nor the pitch
or the loudness of the sound tells it: the timbre alone says which class sounds, and the picture where objects of that
class are. A representation of what frames and sound have in common holds the class that sounds, and lets go of pitch,
loudness, colour, light and the object that is silent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._world.grid import MOST
from ssl_models.datasets._world.render import SUPERSAMPLING
from ssl_models.datasets._world.scene import DIALS as SEEN
from ssl_models.datasets._world.shapes import CLASSES
from ssl_models.datasets._world_sound.notes import DIALS, FACTORS, check_dials, sample_notes
from ssl_models.datasets._world_sound.pictures import annotations, draw, sample_pictures
from ssl_models.datasets._world_sound.playing import RATE, SAMPLES, play
from ssl_models.previews import SPECTROGRAM, shaded, spectrogram

KIND = "audiovisual"
FPS = 1.0
SWEPT = 2
"""The class whose note is played in `factor_sweep`: its partials are many, and show what pitch and vibrato do."""
NONE = "none"
"""In place of the class of the silent object, where there is none."""
QUIET = 0.02
"""Noise where other factors are to be seen."""


def load(
    *,
    seed: int,
    train: int = 4096,
    test: int = 1024,
    size: int = 64,
    objects: int = 2,
    background: float = SEEN["background"],
    pitch: float = DIALS["pitch"],
    loudness: float = DIALS["loudness"],
    noise: float = DIALS["noise"],
    onset: float = DIALS["onset"],
    vibrato: float = DIALS["vibrato"],
) -> Dataset:
    """train and test clips: `frames` (N, 1, 3, size, size) uint8, `sound` (N, 8000) int16 at 8 kHz, `length`, `source`.

    A clip is a second of sound and the one frame that goes with it; every clip is a source of its own.
    labels: the class that sounds; truth "labels.sounding", the same, and "labels.silent", the class of the other of two
    objects or "none"; boxes, present, source_box. factors: those of the sound, and the number of objects.
    objects: the most that a frame shows, at most MOST; each number from 1 is as frequent. They are of different
    classes. With one there is no set "silent", nor with more than two, of which several are silent.
    background: dial of its colours, see world.py. pitch ... vibrato: dials in [0, 1], 0 fixes a factor (amounts: leaves
    it out), 1 gives it its full range; see notes.FACTORS for ranges and units.
    Raises ValueError for a count below 1, a size below 32, a negative seed, objects or a dial out of range.
    """
    dials = {"pitch": pitch, "loudness": loudness, "noise": noise, "onset": onset, "vibrato": vibrato}
    _check(seed, train, test, size, objects, background, dials)
    splits = [
        _split(2 * seed + part, count, size, objects, background, dials) for part, count in enumerate((train, test))
    ]
    sets = {"sounding": CLASSES} | ({"silent": (*CLASSES, NONE)} if objects == 2 else {})
    return Dataset(splits[0], splits[1], CLASSES, known=_known(), label_sets=sets)


def count(
    *,
    train: int = 4096,
    test: int = 1024,
    size: int = 64,
    objects: int = 2,
    background: float = SEEN["background"],
    seed: int = 0,
    **dials: float,
) -> tuple[int, int]:
    """Number of training and test samples that `load` gives for these settings; checks them in the same way."""
    _check(seed, train, test, size, objects, background, dials)
    return train, test


def describe(**settings: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shape of each part of a sample, and Dataset.known. Raises ValueError as `count`."""
    count(**settings)
    size = settings.get("size", 64)
    return {"frames": (1, 3, size, size), "sound": (SAMPLES,), "length": (1,), "source": (1,)}, _known()


def factor_sweep(*, seed: int, steps: int = 12) -> tuple[Tensor, tuple[str, ...]]:
    """Spectrograms, a row a factor: the classes, then a note with that factor moved over its full range; and the names.

    (3, H, W) uint8; loudness is shown as in the row's loudest note. The other factors are those of one default note
    with little noise. Raises ValueError for fewer than 2 steps.
    """
    _check(seed, 1, 1, 64, 1, 0.0, {})
    if steps < 2:
        raise ValueError(f"factor_sweep steps is {steps}; it takes at least 2 to show both ends")
    share = torch.linspace(0, 1, steps)
    classes = (share * (len(CLASSES) - 1)).round().long()
    note = sample_notes(torch.tensor([SWEPT]), torch.Generator().manual_seed(2 * seed), DIALS)
    alike = note[torch.zeros(steps, dtype=torch.int64)].moved(noise=QUIET)
    shown = [replace(alike, labels=classes)]
    shown += [alike.moved(**{name: factor.value(share, 1.0)}) for name, factor in FACTORS.items()]
    size = (steps * SPECTROGRAM[0], SPECTROGRAM[1])
    rows = [shaded(spectrogram(play(notes).flatten().numpy()), size) for notes in shown]
    return torch.from_numpy(np.concatenate(rows)).permute(2, 0, 1), ("class", *FACTORS)


def _split(seed: int, samples: int, size: int, objects: int, background: float, dials: dict[str, float]) -> Split:
    generator = torch.Generator().manual_seed(seed)
    pictures = sample_pictures(samples, objects, generator, SEEN | {"background": background})
    notes = sample_notes(pictures.labels, generator, dials)
    parts = {
        "frames": draw(pictures, size)[:, None],
        "sound": play(notes),
        "length": torch.full((samples, 1), SAMPLES, dtype=torch.int32),
        "source": torch.arange(samples, dtype=torch.int32)[:, None],
    }
    truth = {"labels.sounding": pictures.labels} | ({"labels.silent": pictures.silent} if objects == 2 else {})
    factors = dict(notes.factors) | {"objects": pictures.many.float()}
    return Split(parts, pictures.labels, factors, truth | annotations(pictures, size))


def _known() -> dict[str, Any]:
    return {"rate": RATE, "fps": FPS}


def _check(
    seed: int, train: int, test: int, size: int, objects: int, background: float, dials: dict[str, float]
) -> None:
    if seed < 0:
        raise ValueError(f"world_sound seed is {seed}; it must not be negative")
    for name, samples in (("train", train), ("test", test)):
        if samples < 1:
            raise ValueError(f"world_sound {name} is {samples}; it must be at least 1 sample")
    if size < 16 * SUPERSAMPLING:
        raise ValueError(f"world_sound size is {size} pixels; it must be at least {16 * SUPERSAMPLING}")
    if not 1 <= objects <= MOST:
        raise ValueError(f"world_sound objects is {objects}; it must be 1 to {MOST}")
    if not 0 <= background <= 1:
        raise ValueError(f"world_sound background is {background}; it must be between 0 and 1")
    check_dials(dials)
