"""The stages that hold a GPU: all that run an encoder, and no other."""

import pytest

from tasks.settings import encoder_stages
from tasks.settings.encoder_stages import needs, runs_encoder

RUN = [
    "pretrain@a",
    "clusterfit@a",
    "extract@a",
    "extract_clusterfit@a",
    "transfer_target@a-cells",
    "transfer_target_clusterfit@a-cells",
] + [
    f"transfer{kind}@a-{protocol}"
    for kind in ("", "_clusterfit")
    for protocol in ("finetune", "semi_supervised", "detection", "keypoints", "surface_normals", "invariance")
]


@pytest.mark.parametrize("stage", RUN)
def test_a_stage_that_runs_an_encoder_holds_a_device(stage):
    assert runs_encoder(stage)


@pytest.mark.parametrize(
    "stage", ["code", "prepare", "prepare_target@cells", "cluster@a", "transfer@a-knn", "transfer@a-linear", "report"]
)
def test_others_hold_none(stage):
    assert not runs_encoder(stage)


def test_needs_are_read_without_importing_and_where_they_cannot_be_read_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_stages, "CODE", tmp_path)
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "mine.py").write_text("import nothing_of_this_name\nNEEDS = ('encoder', 'x')\n")
    (tmp_path / "protocols" / "odd.py").write_text("NEEDS = made_up()\n")
    assert (needs("mine"), needs("odd"), needs("absent")) == (("encoder", "x"), (), ())
