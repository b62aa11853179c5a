"""ONNX: ONNX Runtime gives the encoder's vectors of pictures, sound and words where this project cannot be imported."""

import onnx
import pytest

from tests.tasks.exporting import trained
from tests.tasks.exporting.foreign import SIZES, exported, require_equal

EXPORTS = {("small", "onnx"): (3, 32, 32), ("heard", "onnx"): (800,), ("texts", "onnx"): (9,)}
"""Run and form -> the shape of one input."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The project, and the folder of all exports."""
    out = tmp_path_factory.mktemp("out")
    return exported(tmp_path_factory.mktemp("project"), out, EXPORTS), out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("run", "to"), EXPORTS)
def test_a_process_without_this_project_gives_the_encoders_vectors_by_onnx(loaded, run, to, size):
    require_equal(loaded[1], run, to, size)


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
