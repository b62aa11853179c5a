"""What the reader of a data set says reaches the log and the record of its preparation."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ssl_models.datasets._folder.tree import Tree
from tasks import prepare
from tasks.project.paths import Places


@pytest.mark.parametrize("extra", [(), ("x.mov", "y.mov")])
def test_what_is_left_out_is_printed_and_recorded_and_without_any_the_record_is_as_ever(
    tmp_path, capsys, monkeypatch, extra
):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 8, 3), 50 * number, np.uint8)).save(photos / f"{number}.png")
    for name in extra:
        (photos / name).touch()
    block = {"name": "photos", "reader": "folder", "source": "photos", "size": 8, "store": 1.0}
    places = Places(tmp_path, "photos")
    context = SimpleNamespace(
        parameters={"data": block, "seed": 0}, project=SimpleNamespace(root=tmp_path), places=places
    )
    walked, walk = [], Tree.walk
    monkeypatch.setattr(Tree, "walk", lambda self, folder="": walked.append(self.root) or walk(self, folder))
    prepare.prepare(context)
    assert walked == [photos]  # once
    record = json.loads(places.preparation.read_text())
    reason = "no suffix of a picture that is read"
    left_out = {"suffix": ".mov", "reason": reason, "count": 2, "example": "x.mov", "kind": "other"}
    told = "one folder: no labels; 4 pictures"
    assert "notes" not in record
    assert record.get("left_out") == ([left_out] if extra else None)
    assert capsys.readouterr().out.splitlines() == (
        [f"{told}, 2 left out: 2 .mov", f"left out: 2 of .mov ({reason}), such as x.mov"] if extra else [told]
    )
