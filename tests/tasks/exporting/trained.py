"""A project of runs that are taken for trained: encoders with random weights and statistics, and a few records."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

from ssl_models.encoders import build_encoder
from tasks.artifacts.encoders import write_encoder
from tasks.process.files import write_json
from tasks.project.project import Project

WORDS = ["", "the", "größe", "cat"]
PICTURES = {"images": (3, 32, 32)}
VIT = {"patch": 8, "width": 32, "depth": 2, "heads": 2, "size": [32, 32]}
RUNS = {
    "small": ("resnet", {"depth": 10, "width": 4}, PICTURES),
    "paper": ("resnet", {"depth": 18, "width": 64, "stem": "imagenet"}, PICTURES),
    "ten": ("resnet", {"depth": 10, "width": 64, "stem_stride": 1}, PICTURES),
    "grouped": ("resnet", {"depth": 50, "width": 6, "norm": "group", "stem": "imagenet", "channels": 2}, None),
    "odd": ("resnet", {"depth": 10, "width": 5}, PICTURES),
    "grey": ("torchvision", {"model": "squeezenet1_1", "channels": 1, "size": 64}, None),
    "token": ("timm", {"model": "test_vit", "size": 32, "options": {"global_pool": "avg"}}, PICTURES),
    "patches": ("vit", {**VIT, "mlp_ratio": 2.7, "channels": 1, "size": [24, 32]}, {"images": (1, 24, 32)}),
    "mean": ("vit", {**VIT, "positions": "sine", "pooling": "mean"}, PICTURES),
    "halves": ("split", {"depth": 10, "width": 4}, {"frames": (5, 3, 32, 32)}),
    "heard": ("speech", {"width": 4, "hidden": 6}, {"sound": (480,)}),
    "levels": ("spectrogram", {"width": 4}, {"sound": (480,)}),
    "towers": ("two_tower", {"depth": 10, "width": 4}, {"frames": (5, 3, 32, 32), "sound": (480,)}),
    "texts": ("bag", {"vocabulary": len(WORDS), "width": 5}, {"tokens": (9,)}),
}
"""Run -> its encoder, the settings, and the shapes of a sample; None for 32 px of the encoder's channels."""


def make(root: Path, *runs: str, **parameters) -> Project:
    """A project in `root` with these of RUNS. parameters: in place of those that each run is trained by `rotation`."""
    for run in runs:
        name, settings, shapes = RUNS[run]
        torch.manual_seed(0)
        encoder = build_encoder(name, **settings)
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        method = SimpleNamespace(encoder=encoder, classifier=lambda: None)
        given = shapes or {"images": (settings["channels"], 32, 32)}
        write_encoder(root / "runs" / "photos" / run / "encoder", method, given)
    known = {"words": WORDS, "rate": 8000}
    write_json(root / "data" / "photos" / "dataset.json", {"shapes": {"tokens": [9]}, "known": known})
    (root / "dvc.yaml").touch()
    return Project.given(root, given_parameters(*runs) | parameters)


def given_parameters(*runs: str) -> dict:
    """Of params.yaml, what an export asks for."""
    return {
        "data": {"name": "photos"},
        "pretrain": {run: {"method": "rotation"} for run in runs},
        "clusterfit": {},
        "transfer": {"linear": {}, "knn": {}},
        "targets": {},
        "training": {"epochs": 3},
        "seed": 0,
        "machine": {"threads": 1},
    }
