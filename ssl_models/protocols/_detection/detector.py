"""Faster R-CNN (Ren et al. 2015, arXiv:1506.01497) with a feature pyramid (Lin et al. 2017, arXiv:1612.03144), small.

torchvision's, on any encoder that has maps. Legend: B images, K classes, L levels of the pyramid, M boxes of an image.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Generator, Tensor, nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.hardware import autocast, resolve_precision
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs

LEVELS = 3
"""The last maps of the encoder that the pyramid is built on: res3, res4 and res5, each half as wide as the one before.

Those of a transformer's blocks are all of one size. Then boxes of all sizes are cut from the first of them.
"""
SIZES = ((1 / 8, 3 / 16), (1 / 4, 3 / 8), (1 / 2, 3 / 4))
"""Sides of the anchors of each level, as shares of the image's shorter side; chosen for pictures of 64 px."""
RATIOS = (0.5, 1.0, 2.0)
CHANNELS, ROI, HIDDEN = 48, 5, 128
"""Channels of the pyramid, side of the box head's input, and its width; 256, 7 and 1024 in the paper."""
FOUND = 50
"""The most boxes that are returned for an image."""


class Backbone(nn.Module):
    """(B, C, H, W) in [0, 1] -> level -> (B, CHANNELS, H', W') float32. The encoder keeps its batch norm statistics.

    frozen: the encoder is not trained. The pyramid is trained in either case.
    """

    def __init__(self, encoder: Encoder, shape: tuple[int, ...], *, frozen: bool, precision: str) -> None:
        from torchvision.ops import FeaturePyramidNetwork

        super().__init__()
        self.encoder, self.frozen, self.precision = encoder.requires_grad_(not frozen), frozen, precision
        with torch.no_grad():
            maps = self.encoder.eval().layers(torch.zeros(1, *shape))
        self.levels = list(maps)[-LEVELS:]
        if len(self.levels) < LEVELS or any(maps[level].ndim != 4 for level in self.levels):
            raise ValueError(f"detection needs an encoder whose last {LEVELS} layers are maps (B, C, H, W)")
        self.pyramid = FeaturePyramidNetwork([maps[level].shape[1] for level in self.levels], CHANNELS)
        self.out_channels = CHANNELS

    def train(self, mode: bool = True) -> Backbone:
        """Leaves the encoder in evaluation mode: a detector's batches are too small for batch norm statistics."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        # Low precision is used here only. Boxes and anchors in bf16 would be off by half a pixel.
        with autocast(resolve_precision(self.precision, images.device), images.device):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                maps = self.encoder.layers(images)
            levels = self.pyramid(OrderedDict((level, maps[level]) for level in self.levels))
        return OrderedDict((level, found.float()) for level, found in levels.items())


class Detector(Method):
    """A Faster R-CNN around an encoder, smaller than in the papers and trained in the same way.

    shape: of an image (C, H, W). boxes: (M, 7) of all images, as in Split.truth. Difficult boxes are used in training
    like any other, as in Detectron2. Images are flipped left to right with probability 1/2.
    """

    family = "control"
    reference = ""

    def __init__(
        self, encoder: Encoder, shape: tuple[int, ...], boxes: ndarray, classes: int, *, frozen: bool, precision: str
    ) -> None:
        super().__init__(encoder)
        self.model = _faster_rcnn(Backbone(encoder, shape, frozen=frozen, precision=precision), shape, classes)
        ordered = boxes[np.argsort(boxes[:, 0], kind="stable")]
        self.table: Tensor
        self.register_buffer("table", torch.from_numpy(np.array(ordered, np.float32)), persistent=False)
        self.width = shape[2]

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> the same in [0, 1], some of them flipped, and which ones: (B,) bool."""
        flipped = torch.rand(len(images), generator=generator, device=images.device) < 0.5
        pictures = inputs(images)
        return torch.where(flipped[:, None, None, None], pictures.flip(3), pictures), flipped

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The four losses: objectness and position of the proposals, class and position of the boxes."""
        pictures, flipped = views
        targets = [self._target(sample, flip) for sample, flip in zip(index, flipped, strict=True)]
        with torch.autocast(pictures.device.type, enabled=False):
            losses: dict[str, Tensor] = self.model(list(pictures), targets)
        return losses

    def _target(self, sample: Tensor, flip: Tensor) -> dict[str, Tensor]:
        """The boxes of a sample in torchvision's format, where label 0 is the background."""
        low, high = torch.searchsorted(
            self.table[:, 0].contiguous(), torch.stack([sample, sample + 1]).float()
        ).tolist()
        own = self.table[low:high]
        box = own[:, 2:6]
        mirrored = torch.stack([self.width - box[:, 2], box[:, 1], self.width - box[:, 0], box[:, 3]], 1)
        return {"boxes": torch.where(flip, mirrored, box), "labels": own[:, 1].long() + 1}

    def detect(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, FOUND, 6): class, left, top, right, bottom, score; score 0 for no box."""
        with torch.autocast(images.device.type, enabled=False):
            answers: list[dict[str, Tensor]] = self.model(list(images))
        found = images.new_zeros(len(images), FOUND, 6)
        for row, answer in zip(found, answers, strict=True):
            labels, scores = answer["labels"][:, None] - 1, answer["scores"][:, None]
            row[: len(scores)] = torch.cat([labels, answer["boxes"], scores], 1)
        return found


def _faster_rcnn(backbone: Backbone, shape: tuple[int, ...], classes: int) -> Any:
    """torchvision's model with small heads and few proposals; images keep their size and values."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    channels, height, width = shape
    side = min(height, width)
    return FasterRCNN(
        backbone,
        min_size=side,
        max_size=max(height, width),
        image_mean=[0.0] * channels,
        image_std=[1.0] * channels,
        size_divisible=1,
        rpn_anchor_generator=AnchorGenerator(
            tuple(tuple(side * size for size in sizes) for sizes in SIZES), (RATIOS,) * LEVELS
        ),
        rpn_pre_nms_top_n_train=200,
        rpn_post_nms_top_n_train=100,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_test=100,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=32,
        box_roi_pool=MultiScaleRoIAlign(backbone.levels, ROI, sampling_ratio=1),
        box_head=TwoMLPHead(CHANNELS * ROI**2, HIDDEN),
        box_predictor=FastRCNNPredictor(HIDDEN, classes + 1),
        box_detections_per_img=FOUND,
    )
