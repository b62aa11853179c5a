"""Stage `extract`: the features of every layer for every image, once for all protocols and for k-means."""

from __future__ import annotations

import time

import numpy
import torch
from numpy.lib.format import open_memmap

from ssl_models.extraction import extract_features
from ssl_models.hardware import autocast, pick_device, resolve_precision
from tasks.registry import read_encoder
from tasks.stage import Context, Result


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
        files: dict[str, numpy.memmap] = {}
        position = 0
        with autocast(precision, device):
            for batch in extract_features(encoder, images, device, **context.parameters["extract"]):
                for layer, features in batch.items():
                    if layer not in files:
                        shape = (len(images), features.shape[1])
                        path = folder / f"{split}.{layer}.npy"
                        files[layer] = open_memmap(path, mode="w+", dtype=numpy.float16, shape=shape)
                    files[layer][position : position + len(features)] = features.numpy()
                position += len(features)
        total += position
        for file in files.values():
            file.flush()
    return Result({"images_per_second": total / (time.perf_counter() - started)})


extract_clusterfit = extract
