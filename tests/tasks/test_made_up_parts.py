"""What a trial of a training is given where the data are not prepared yet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.method import method_class
from tasks.artifacts.dataset import Stored
from tasks.checks import trial
from tasks.checks.trial import made_up
from tasks.process.files import write_json
from tasks.project.project import Project

SHAPES = {
    "images": (3, 8, 8),
    "frames": (5, 3, 32, 48),
    "sound": (4000,),
    "length": (1,),
    "tokens": (7,),
    "tracks": (2, 5, 4),
    "source": (1,),
}
KINDS = {"images": torch.uint8, "frames": torch.uint8, "sound": torch.int16, "tracks": torch.float32}


@pytest.mark.parametrize("part", SHAPES)
def test_a_part_has_its_shape_and_its_type(part: str) -> None:
    found = made_up(part, 6, SHAPES, torch.Generator().manual_seed(0))
    assert found.shape == (6, *SHAPES[part])
    assert found.dtype == KINDS.get(part, torch.int32)


def test_recordings_are_whole_sources_differ_and_tracks_lie_in_the_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    assert (made_up("length", 6, SHAPES, generator) == 4000).all()
    assert len(made_up("source", 6, SHAPES, generator).unique()) == 6
    tracks = made_up("tracks", 6, SHAPES, generator)
    size = torch.tensor([48.0, 32.0])
    torch.testing.assert_close(tracks[..., 2:] - tracks[..., :2], (size / 2).expand(6, 2, 5, 2))
    assert (tracks[..., :2] >= 0).all()
    assert (tracks[..., 2:] <= size).all()


def test_a_method_of_frames_and_sound_takes_them() -> None:
    generator, shapes = torch.Generator().manual_seed(0), SHAPES | {"frames": (5, 3, 32, 32)}
    method = method_class("audio_visual")(build_encoder("two_tower", depth=10, width=4), DataSpec(64, shapes))
    views = method.views(*(made_up(part, 6, shapes, generator) for part in method.parts), generator)
    assert float(method.loss(*views, index=torch.arange(6)).terms["loss"].detach()) < 2


def test_a_trial_sees_samples_of_all_videos_and_none_twice(tmp_path: Path) -> None:
    """Two long videos of 40 clips, stored one after the other."""
    project = Project.given(tmp_path, {"data": {"name": "clips"}})
    folder = project.places.dataset
    folder.mkdir(parents=True)
    write_json(folder / "dataset.json", {"train": 80, "test": 1, "shapes": {"source": [1], "frames": [1]}})
    np.save(folder / "train.source.npy", np.repeat([7, 8], 40)[:, None].astype(np.int32))
    np.save(folder / "train.frames.npy", np.arange(80, dtype=np.uint8)[:, None])
    method: Any = SimpleNamespace(parts=("source", "frames"), crops=False)
    data = DataSpec(80, Stored(folder).shapes)
    for few in (12, 80):
        source, frames = trial._parts(project, method, data, few, fresh=False)
        assert source.flatten().tolist() == [7] * (few // 2) + [8] * (few // 2)
        assert len(frames.unique()) == few
