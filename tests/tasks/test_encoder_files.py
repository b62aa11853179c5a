"""Encoders on disk: each kind is written, and read again as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import encoder_class
from ssl_models.methods.random import Random
from tasks.artifacts.encoders import read_encoder, write_encoder

torch.set_num_threads(1)
SHAPES = {"images": (3, 32, 32)}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet", {"depth": 50, "width": 4, "stem": "auto"}),
        ("split", {"depth": 50, "width": 4}),
        ("torchvision", {"model": "shufflenet_v2_x0_5"}),
        ("timm", {"model": "test_vit", "size": 32, "options": {"patch_size": 8}}),
    ],
)
def test_an_encoder_is_read_as_it_was_written(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = DataSpec(8, SHAPES)
    encoder = encoder_class(name).from_data(data, **settings)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.01)
    write_encoder(tmp_path, Random(encoder, data), SHAPES)
    again = read_encoder(tmp_path)
    assert again.settings == encoder.settings
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(pictures), encoder.eval()(pictures))
