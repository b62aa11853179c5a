"""Made-up clips with poses and backgrounds that are known, and that an encoder can read off the pixels exactly."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ssl_models.errors import NeedsLabels, NeedsTruth
from ssl_models.protocols._common.score import Representation
from tests.ssl_models.reads import Reads

FRAMES, SIDE, CLASSES, ACTIONS = 5, 8, 4, ("slide", "spin")
SHAPE = np.array([[0.0, -0.5], [0.4, 0.3], [-0.2, 0.4]])
"""Three points of an object that is not turned, in extents."""


def made(count: int, seed: int) -> dict[str, Any]:
    """frames (N, 5, 3, 8, 8) uint8: a border of the background's colour, and inside the pose and the class as colours.

    The object turns from frame to frame, from any angle on, at any place and size. Each class has another hand.
    """
    draws = np.random.default_rng(seed)
    labels, action = np.arange(count) % CLASSES, np.arange(count) // CLASSES % 2
    angle = draws.uniform(0, 2 * np.pi, count)[:, None] + draws.uniform(-1, 1, count)[:, None] * np.arange(FRAMES)
    hue = draws.uniform(0, 1, count)
    frames = np.zeros((count, FRAMES, 3, SIDE, SIDE), np.uint8)
    colours = np.array([colorsys.hsv_to_rgb(one, 0.9, 0.8) for one in hue])
    frames[:] = (255 * colours).astype(np.uint8)[:, None, :, None, None]
    inside = np.stack([np.cos(angle), np.sin(angle), np.broadcast_to(labels[:, None] / 2 - 1, angle.shape)], 2)
    frames[..., 2:-2, 2:-2] = (127.5 + 127 * inside).astype(np.uint8)[..., None, None]
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(count, FRAMES, 2, 2)
    extent = draws.uniform(10, 20, (count, FRAMES))
    hand = np.where(labels % 2, -1, 1)[:, None, None] * [1, 0] + [0, 1]  # (N, 1, 2)
    points = np.einsum("ntij,npj->ntpi", turn, SHAPE * hand) * extent[..., None, None]
    points += draws.uniform(0, 32, (count, FRAMES, 1, 2))
    return {
        "frames": frames,
        "source": np.arange(count, dtype=np.int32)[:, None],
        "labels": labels,
        "labels.action": action,
        "frame_points": np.concatenate([points, np.ones((*points.shape[:3], 1))], 3).astype(np.float32),
        "frame_extent": extent.astype(np.float32),
        "factors": {
            "background_hue": np.stack([np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)], 1).astype(np.float32),
            "background_saturation": np.full(count, 0.9, np.float32),
            "background_brightness": np.full(count, 0.8, np.float32),
        },
    }


def pose(pictures: Tensor) -> Tensor:
    """Cosine and sine of the object's angle, a number that tells the class beside them."""
    return pictures[:, :2, 4, 4] * 2 - 1


def scene(pictures: Tensor) -> Tensor:
    """The colour of the border, without its grey."""
    border = pictures[:, :, 0].mean(2)
    return border - border.mean(1, keepdim=True)


def kind(pictures: Tensor) -> Tensor:
    """Which class it is."""
    return (pictures[:, 2:, 4, 4] * 2 - Tensor([-1, -0.5, 0, 0.5]) - 1).abs() < 0.1


def representation(
    reads: Callable[[Tensor], Tensor], train: int = 160, test: int = 80, **without: Any
) -> Representation:
    """Of an encoder that is one function of a frame. without: what to change of `made` in both splits; None: left out.

    A function of the array in place of an array is given what is there.
    """
    data: dict[str, dict[str, Any]] = {"train": made(train, 0), "test": made(test, 1)}
    for split, own in data.items():
        for name, value in without.items():
            own[name] = value(own[name]) if callable(value) else value
        data[split] = {name: value for name, value in own.items() if value is not None}

    def truth(split: str, name: str) -> Any:
        if name not in data[split]:
            raise NeedsTruth(f"there are no {name}")
        return data[split][name]

    def samples(split: str) -> Mapping[str, Any]:
        return {part: data[split][part] for part in ("frames", "source") if part in data[split]}

    def features(*_: str) -> np.ndarray:
        raise AssertionError("features of clips are the means of their frames")

    return Representation(
        ("last", "pooled"),
        features,
        lambda split: labels_of(data[split]),
        CLASSES,
        encoder=lambda: Reads(reads),
        samples=samples,
        truth=truth,
        precision="float32",
        label_sets={"action": ACTIONS} if "labels.action" in data["test"] else {},
        files=lambda split: [f"{split}/{row}.mp4" for row in range(len(data[split]["frames"]))],
    )


def labels_of(own: Mapping[str, Any]) -> np.ndarray:
    if "labels" not in own:
        raise NeedsLabels("these data have no labels")
    return np.asarray(own["labels"])
