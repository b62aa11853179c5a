"""Made-up clips of two squares, of which one sounds, and encoders whose heat maps are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsTruth
from ssl_models.modalities import image, sound
from ssl_models.protocols._common.score import Representation

SIDE, EDGE, STEP, SAMPLES = 24, 6, 1000, 400
COLOURS = ("red", "green", "blue")


def squares(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """frames (N, 1, 3, 24, 24), sound (N, 400), labels, source_box and boxes: two squares apart, each of a channel.

    The level of the sound is that of the class that sounds: 1000 for the first.
    """
    draws = np.random.default_rng(seed)
    frames, sounds = np.zeros((count, 1, 3, SIDE, SIDE), np.uint8), np.zeros((count, SAMPLES), np.int16)
    labels, source_box, boxes = np.zeros(count, np.int64), np.zeros((count, 4), np.float32), []
    for row in range(count):
        classes, halves = draws.permutation(3)[:2], draws.permutation(2)
        labels[row] = classes[0]
        sounds[row] = STEP * (classes[0] + 1)
        for place, (channel, half) in enumerate(zip(classes, halves, strict=True)):
            left = int(half) * SIDE // 2 + int(draws.integers(SIDE // 2 - EDGE + 1))
            top = int(draws.integers(SIDE - EDGE + 1))
            frames[row, 0, channel, top : top + EDGE, left : left + EDGE] = 255
            box = (left, top, left + EDGE, top + EDGE)
            boxes.append((row, channel, *box, 0))
            if place == 0:
                source_box[row] = box
    table = np.array(boxes, np.float32).reshape(-1, 7)
    return {"frames": frames, "sound": sounds, "labels": labels, "source_box": source_box, "boxes": table}


class Pointing(Encoder):
    """A heat of 1 in the square whose channel the sound tells, and 0 elsewhere."""

    name = "pointing"
    modalities = (image, sound)

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.settings = 1, {}

    def standardise(self, *inputs: Tensor) -> Tensor:
        return inputs[0]

    def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:
        told = torch.round(sounds[:, 0] * 32768 / STEP).long() - 1
        return frames[torch.arange(len(frames)), :, told]


class Seeing(Pointing):
    """A heat of 1 in every square: it finds objects, and does not hear."""

    name = "seeing"

    def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:  # noqa: ARG002
        return frames.amax(2)


class Still(Pointing):
    """The same heat everywhere."""

    name = "still"

    def heat(self, frames: Tensor, sounds: Tensor) -> Tensor:  # noqa: ARG002
        return torch.full((len(frames), 3, 5), 0.3)


def representation(
    encoder: type[Encoder] = Pointing, data: dict[str, dict[str, np.ndarray]] | None = None, **changed: Any
) -> Representation:
    data = data or {"train": squares(60, 0), "test": squares(120, 1)}

    def truth(split: str, kind: str) -> np.ndarray:
        if kind not in ("source_box", "boxes", "present") or kind not in data[split]:
            raise NeedsTruth(f"there are no {kind}")
        return data[split][kind]

    settings: dict[str, Any] = {
        "labels": lambda split: data[split]["labels"],
        "classes": 3,
        "class_names": COLOURS,
        "encoder": encoder,
        "samples": lambda split: {part: data[split][part] for part in ("frames", "sound")},
        "truth": truth,
        "precision": "float32",
    }
    return Representation(("pooled",), lambda *_: np.zeros((0, 0)), **(settings | changed))
