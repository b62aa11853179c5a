"""Object detection from a representation: Faster R-CNN on the encoder (Goyal et al. 2019, arXiv:1905.01235, section 6).

Legend: N samples, C channels, K classes, M boxes of all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray

from ssl_models.errors import NeedsTruth, NoSuchLayer
from ssl_models.previews import coloured
from ssl_models.protocols._common import adaptation
from ssl_models.protocols._common.named import named
from ssl_models.protocols._common.score import Findings, Representation
from ssl_models.protocols._detection import box_precision
from ssl_models.protocols._detection.detector import LEVELS, Detector
from ssl_models.rows import Samples
from ssl_models.trainer import Settings, derive_seed

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

NEEDS = ("encoder", "images", "boxes")
TITLE = "detection"
READING = (
    "A detector is trained on this backbone. Average precision over overlaps from 0.5 to 0.95 as COCO defines it; "
    "ap50 asks for half an overlap only."
)
HEADLINE = "ap"
UNITS = {"ap*": "share"}
CURVES = "Precision against recall at an overlap of one half; N_cf dashed."
SHOWN = 8
SURE = 0.5
"""The least score of a detection that is drawn. All detections count for the average precision."""
COLUMNS, SIDE, GAP, TEXT = 4, 268, 8, 13
"""Pictures in a row (fewer if they are large); in pixels: the largest side after enlargement, the gap, the text."""
FOUND, THERE, PAPER = (255, 96, 0), (0, 160, 70), (255, 255, 255)


def evaluate(
    representation: Representation,
    *,
    seed: int,
    frozen: bool = True,
    epochs: int = 4,
    batch_size: int = 16,
    learning_rate: float = 0.05,
    weight_decay: float = 0.0005,
) -> Findings:
    """COCO's AP, AP50 and AP75 of the test boxes, with bootstrap intervals over test images.

    Also a picture of detections, the names of its files where they are known, and a precision-recall curve. The
    detector (see detector.py) has small heads on a feature pyramid of the encoder's last three maps. AdamW trains it
    on the training boxes.

    frozen: the encoder is not trained. Its batch norm statistics stay as they are in either case. learning_rate: for a
    batch of 256. A difficult test box counts neither as found nor as missed.
    Raises NeedsTruth (from the representation) for data without boxes, or with difficult ones only in the test images,
    ValueError for settings out of range, an encoder without maps, and boxes that do not fit the classes, samples or
    image size.
    """
    settings = _training(epochs, batch_size, learning_rate, weight_decay)
    images, test = representation.images("train"), representation.images("test")
    boxes, truth = (checked_boxes(representation, split) for split in ("train", "test"))
    torch.manual_seed(derive_seed(seed, "detection"))
    shape = tuple(images.shape[1:])
    precision = representation.precision
    detector = Detector(
        representation.encoder(), shape, boxes, representation.classes, frozen=frozen, precision=precision
    )
    adaptation.train(detector, [images], settings, seed=seed, precision=precision)
    detector.eval()
    found = adaptation.outputs(detector.detect, test, precision=precision, batch_size=batch_size).numpy()
    return findings(table(found), truth, test, representation, seed=seed)


def refuse(
    *,
    frozen: bool = True,  # noqa: ARG001 - as evaluate
    epochs: int = 4,
    batch_size: int = 16,
    learning_rate: float = 0.05,
    weight_decay: float = 0.0005,
    there: tuple[str, ...] = (),
) -> None:
    """Raises ValueError for what `evaluate` would refuse, before anything starts; NoSuchLayer for too few layers."""
    _training(epochs, batch_size, learning_rate, weight_decay)
    if there and len(maps := there[:-1]) < LEVELS:
        raise NoSuchLayer(f"detection needs the maps of {LEVELS} layers, and there are {', '.join(maps)} alone")


def _training(epochs: int, batch_size: int, learning_rate: float, weight_decay: float) -> Settings:
    return Settings(epochs, batch_size, "adamw", learning_rate, weight_decay=weight_decay, warmup_epochs=0.5)


def findings(
    detections: ndarray, truth: ndarray, images: Samples, representation: Representation, *, seed: int
) -> Findings:
    """The findings for detections (D, 7) and truth (M, 7), as in box_precision.py, on the images (N, C, H, W)."""
    classes = representation.classes
    matches = box_precision.match(detections, truth, len(images), classes)
    scores = box_precision.box_scores(matches, seed=seed)
    precision = box_precision.precision_curve(matches)
    curve = {"recall": box_precision.RECALLS.tolist(), "precision": precision.tolist()}
    names = representation.class_names or tuple(str(label) for label in range(classes))
    shown = draw_boxes(images[:SHOWN], detections[detections[:, 6] >= SURE], truth, names)
    tables = named(representation, "detections", range(len(images[:SHOWN])))
    return Findings(scores, {"detections": shown}, {"precision-recall at IoU .5": curve}, tables)


def table(found: ndarray) -> ndarray:
    """Detector.detect's (N, F, 6) of all images -> (D, 7): sample, class, left, top, right, bottom, score."""
    sample, place = np.nonzero(found[:, :, 5] > 0)
    return np.concatenate([sample[:, None], found[sample, place]], 1)


def checked_boxes(representation: Representation, split: str) -> ndarray:
    """(M, 7) as datasets/split.py has them; raises NeedsTruth, and ValueError for boxes that cannot be."""
    boxes = np.array(representation.truth(split, "boxes"), np.float64)
    samples, _, height, width = representation.images(split).shape
    if boxes.ndim != 2 or boxes.shape[1] != 7 or not len(boxes) or not np.isfinite(boxes).all():
        refused = ValueError if len(boxes) else NeedsTruth
        raise refused(f"the {split} boxes must be a table (M, 7) of finite numbers, M at least 1, not {boxes.shape}")
    sample, label, left, top, right, bottom, _ = boxes.T
    wrong = (sample < 0) | (sample >= samples) | (label < 0) | (label >= representation.classes)
    wrong |= (left < 0) | (top < 0) | (right > width) | (bottom > height) | (left >= right) | (top >= bottom)
    if wrong.any():
        raise ValueError(
            f"{split} box {wrong.argmax()} is {boxes[wrong.argmax()].tolist()}: sample, class, left, top, right, "
            f"bottom must fit {samples} pictures of {width} x {height} pixels and {representation.classes} classes"
        )
    return boxes


def draw_boxes(images: ndarray, detections: ndarray, truth: ndarray, names: Sequence[str]) -> ndarray:
    """(H, W, 3) uint8: the images (N, C, h, w) uint8 with their true boxes (M, 7) and, over them, detections (D, 7).

    Both tables are as in box_precision.py. Rows of samples from N on are not drawn.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=TEXT)
    height, width = images.shape[2:]
    scale = max(1, SIDE // max(height, width))
    down, across = height * scale + GAP, width * scale + GAP
    columns = max(1, min(COLUMNS * SIDE // across, len(images)))
    sheet = Image.new("RGB", (columns * across + GAP, -(-len(images) // columns) * down + GAP + 2 * TEXT), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), "green: the truth", THERE, font)
    draw.text((GAP + 10 * TEXT, GAP), "orange: found, with its score", FOUND, font)
    for number, image in enumerate(images):
        corner = (GAP + number % columns * across, GAP + 2 * TEXT + number // columns * down)
        sheet.paste(Image.fromarray(coloured(image, scale)), corner)
        for row in truth[truth[:, 0] == number]:
            _outline(draw, row, corner, scale, THERE)
        for row in detections[detections[:, 0] == number]:
            x, y = _outline(draw, row, corner, scale, FOUND)
            text = f"{names[int(row[1])]} {row[6]:.2f}"
            draw.rectangle(draw.textbbox((x, y), text, font), FOUND)
            draw.text((x, y), text, PAPER, font)
    return np.asarray(sheet)


def _outline(
    draw: ImageDraw, row: ndarray, corner: tuple[int, int], scale: int, colour: tuple[int, int, int]
) -> tuple[float, float]:
    """Draws the box of a row in the picture at `corner`. Returns the place for a text inside the box."""
    left, top, right, bottom = (row[2:6] * scale + np.tile(corner, 2)).tolist()
    draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
    return left + 3, top + 2
