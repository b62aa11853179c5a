"""Every form is loaded by its card's own lines in a process without this project, and gives the encoder's vectors."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from tasks.exporting import check, export, formats
from tests.tasks.exporting import trained
from tests.tasks.exporting.foreign import SIZES, blocks, exported, require_equal

EXPORTS = {
    ("small", "timm"): (3, 32, 32),
    ("small", "safetensors"): (3, 32, 32),
    ("paper", "torchvision"): (3, 32, 32),
    ("ten", "torchvision"): (3, 32, 32),
    ("grouped", "timm"): (2, 32, 32),
    ("grey", "torchvision"): (1, 32, 32),
    ("token", "timm"): (3, 32, 32),
    ("patches", "timm"): (1, 24, 32),
    ("patches", "onnx"): (1, 24, 32),
    ("mean", "timm"): (3, 32, 32),
    ("halves", "safetensors"): (3, 32, 32),
    ("small", "onnx"): (3, 32, 32),
    ("heard", "onnx"): (480,),
    ("levels", "onnx"): (480,),
    ("texts", "onnx"): (9,),
}
"""Run and form -> the shape of one input."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The project, and the folder of all exports."""
    out = tmp_path_factory.mktemp("out")
    return exported(tmp_path_factory.mktemp("project"), out, EXPORTS), out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("run", "to"), EXPORTS)
def test_a_process_without_this_project_gives_the_encoders_vectors(loaded, run, to, size):
    require_equal(loaded[1], run, to, size)


@pytest.mark.parametrize(("run", "to"), EXPORTS)
def test_three_lines_load_it(loaded, run, to):
    imports, _, lines = blocks(loaded[1] / f"{run}-{to}")[0].rstrip().rpartition("\n\n")
    assert 1 <= len(lines.splitlines()) <= 3
    assert all(line.startswith(("import ", "from ")) for line in imports.split("\n") if line)


def test_the_lines_are_those_that_one_would_write(loaded):
    load, use = blocks(loaded[1] / "ten-torchvision")
    assert load.endswith(
        """
model = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1]).eval()
model.conv1, model.maxpool, model.fc = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity(), torch.nn.Identity()
model.load_state_dict(load_file("model.safetensors"))
"""  # noqa: E501
    )
    assert use == "with torch.inference_mode():\n    vectors = model((pictures - 0.5) / 0.25)\n"
    assert "\nmodel = models.resnet18().eval()\n" in blocks(loaded[1] / "paper-torchvision")[0]
    assert "interpolate(pictures, (64, 64), mode=" in blocks(loaded[1] / "grey-torchvision")[1]
    assert "mean = torch.tensor([0.485, 0.456, 0.406])" in blocks(loaded[1] / "grey-torchvision")[1]


def test_only_a_vit_that_interpolates_positions_is_said_to_take_other_sizes(loaded):
    learnt, sine = ((loaded[1] / f"{run}-timm" / "README.md").read_text() for run in ("patches", "mean"))
    assert "others may be taken" in learnt
    assert "dynamic_img_size=True" in learnt
    assert "Pictures must have this size." in sine
    assert "dynamic_img_size" not in sine
    assert "img_size=(24, 32), patch_size=8, in_chans=1, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.7" in learnt


def test_onnx_states_its_opset_and_names_no_file(loaded):
    path = loaded[1] / "small-onnx" / "model.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import if not each.domain] == [18]
    assert "Opset 18" in (path.parent / "README.md").read_text()
    assert b".py" not in path.read_bytes()
    (batch_axis, *others) = model.graph.input[0].type.tensor_type.shape.dim
    assert batch_axis.dim_param
    assert [axis.dim_value for axis in others] == [3, 32, 32]


def test_words_go_along_in_the_order_of_their_ids(loaded):
    folder = loaded[1] / "texts-onnx"
    assert (folder / "words.txt").read_text(encoding="utf-8").split("\n") == [*trained.WORDS, ""]
    assert "words.txt" in (folder / "README.md").read_text()


def test_nothing_tells_of_this_machine(loaded):
    project, out = loaded
    places = [str(project.root), str(Path(__file__).parents[3]), str(Path(torch.__file__).parents[2])]
    for path in out.glob("*-*/**/*"):
        if path.is_file():
            assert not [place for place in places if place.encode() in path.read_bytes()], path


def test_the_same_run_gives_the_same_bytes(loaded, tmp_path, monkeypatch):
    project, out = loaded
    monkeypatch.setattr(check, "difference", lambda *_: 1e-7)
    export.export(project, "small", "safetensors", str(tmp_path / "again"))
    for path in (out / "small-safetensors").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (tmp_path / "again" / path.relative_to(out / "small-safetensors")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("run", "to", "told"),
    [
        ("small", "torchvision", "64 channels in its first layer, and this one has 4; use --to timm or onnx or"),
        ("odd", "timm", "an even number of channels in its first layer, and this one has 5; use --to onnx or safe"),
        ("token", "torchvision", "it is of the kind 'timm', and torchvision has 'resnet' and 'torchvision'; use --to"),
        ("grey", "timm", "it is of the kind 'torchvision', and timm has 'resnet', 'timm' and 'vit'; use --to torch"),
        ("mean", "torchvision", "kind 'vit', and torchvision has 'resnet' and 'torchvision'; use --to timm or onnx or"),
        ("heard", "timm", "it is of the kind 'speech'"),
    ],
)
def test_what_a_library_lacks_is_refused_with_what_would_do(tmp_path, run, to, told):
    project = trained.make(tmp_path, run)
    with pytest.raises(ValueError, match="cannot be exported to") as refused:
        formats.refuse(project, run, to, tmp_path / "out", force=False)
    assert told in str(refused.value)


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_an_encoder_of_two_parts_is_refused(tmp_path, to):
    project = trained.make(tmp_path, "towers")
    with pytest.raises(ValueError, match=r"the encoder of 'towers' reads frames and sound; one that reads one can be"):
        formats.refuse(project, "towers", to, tmp_path / "out", force=False)
