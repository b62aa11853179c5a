"""Stage `extract`: the features of every layer for every image, once for all protocols and for k-means."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.lib.format import open_memmap

from ssl_models.encoders.encoder import Encoder
from ssl_models.extraction import extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision
from tasks.project import paths
from tasks.stage.run import Context, Result
from tasks.tracking.registry import read_encoder


def extract(context: Context, run: str) -> Result:
    """data, encoder -> runs/<data>/<run>/features/<split>.<layer>.npy, float16 (N, D)."""
    device = pick_device()
    encoder = read_encoder(context.store.encoder(run))
    folder = context.store.features(run)
    folder.mkdir(parents=True, exist_ok=True)
    precision = resolve_precision(context.parameters["machine"]["precision"], device)
    started, total = time.perf_counter(), 0
    for split in ("train", "test"):
        images = torch.from_numpy(numpy.load(context.store.dataset / f"{split}.images.npy"))
        with autocast(precision, device), ExitStack() as stack:
            batches = extract_features(encoder, images, device, **context.parameters["extract"])
            total += _write(batches, len(images), folder, split, stack)
    return Result({"images_per_second": total / (time.perf_counter() - started)})


extract_clusterfit = extract


def features_of(encoder: Encoder, images: numpy.ndarray, parameters: dict[str, Any]) -> dict[str, numpy.ndarray]:
    """layer -> (N, D) float16 in memory: what the stage writes into files, for data that are small."""
    device = pick_device()
    with autocast(resolve_precision(parameters["machine"]["precision"], device), device):
        batches = list(
            extract_features(encoder, torch.from_numpy(numpy.array(images)), device, **parameters["extract"])
        )
    return {layer: numpy.concatenate([batch[layer].numpy() for batch in batches]) for layer in batches[0]}


def _write(batches: Iterator[dict[str, torch.Tensor]], samples: int, folder: Path, split: str, stack: ExitStack) -> int:
    """Streams features into one file a layer, each whole or not there once `stack` closes; gives how many samples."""
    files: dict[str, numpy.memmap] = {}
    position = 0
    for batch in batches:
        for layer, features in batch.items():
            if layer not in files:
                path = stack.enter_context(paths.whole_file(folder / f"{split}.{layer}.npy"))
                files[layer] = _reserve(path, (samples, features.shape[1]))
            files[layer][position : position + len(features)] = features.numpy()
        position += len(features)
    for file in files.values():
        file.flush()
    return position


def _reserve(path: Path, shape: tuple[int, int]) -> numpy.memmap:
    """A float16 array in a file whose room on the disk is taken: a full disk is an error here, not a crash later."""
    array = open_memmap(path, mode="w+", dtype=numpy.float16, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    return array
