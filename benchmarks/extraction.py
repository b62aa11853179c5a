"""The features of all layers against the encoder's bare forward pass."""

from __future__ import annotations

import torch

from benchmarks.measuring import Effort, compare, pictures, rate_of, threads
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from ssl_models.encoders import build_encoder
from ssl_models.extraction import extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision

SAMPLES, BATCH = 2048, 512
HOW = (
    f"{SAMPLES:,} pictures of 32 px in batches of {BATCH}, the default encoder, one thread. Ours turns bytes into "
    "floats, keeps all six layers, pools them to about 512 numbers and rounds to float16; the other only runs "
    "the encoder on floats made beforehand."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds the row of the extraction."""
    device = pick_device()
    precision = resolve_precision("auto", device)
    images = pictures(BATCH if effort.quick else SAMPLES).images
    encoder = build_encoder("resnet").to(device).eval()
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ready = [batch.to(device).float() / 255 for batch in images.split(BATCH)]

    def ours(rounds: int) -> None:
        with autocast(precision, device):
            for _ in range(rounds):
                for _ in extract_features(encoder, {"images": images}, device, batch_size=BATCH):
                    pass

    def bare(rounds: int) -> None:
        with torch.inference_mode(), autocast(precision, device):
            for _ in range(rounds):
                for batch in ready:
                    encoder(batch)

    with threads(1):
        own, other = (rate_of(work, len(images), effort.seconds) for work in (ours, bare))
        mine, others, ratio = compare(own, other, effort.pairs)
    target, how = Target("≥", 0.85, ratio=True), f"{precision}, {device.type}: {HOW}"
    page.add(Row("extracting the features", "images/s", mine, how, target, "bare forward", others, ratio))
