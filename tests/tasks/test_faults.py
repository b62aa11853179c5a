"""What an error means: a mistake in code by file and line, a refusal in its words, and whether it would come again."""

import importlib.util
import sys

import numpy
import pytest
import torch

from tasks.process import faults
from tasks.process.faults import explain, of_source
from tasks.process.files import UnreadableFile, legible

SOURCE = '''"""A method of one's own."""
import torch


def loss(width):
    hidden = torch.ones(2, 3)
    return helper(hidden, width)


def helper(hidden, width):
    BODY


def through_a_library():
    return torch.utils._pytree.tree_map(lambda _: undefined_name, [1])
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Gives a function that imports a method whose helper has a given body, from a checkout of its own."""
    monkeypatch.setattr(faults, "ROOT", tmp_path)
    path = tmp_path / "ssl_models" / "methods" / "mine.py"
    path.parent.mkdir(parents=True)

    def load(body):
        path.write_text(SOURCE.replace("BODY", body))
        spec = importlib.util.spec_from_file_location("mine", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def caught(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return error
    raise AssertionError("it was to fail")


MISTAKES = {
    "a name": ("return hidden + later", "NameError: name 'later' is not defined"),
    "a shape": ("return hidden @ torch.ones(width, 2)", "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    "a key": ("return {}[width]", "KeyError: 7"),
    "unpacking": ("a, b, c = hidden", "ValueError: not enough values to unpack"),
    "its own error": ('raise RuntimeError("boom")', "RuntimeError: boom"),
}


@pytest.mark.parametrize(("body", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_method_is_named_by_file_and_line_with_its_own_frames_only(mine, tmp_path, body, words):
    fault = explain(caught(mine(body).loss, 7), tmp_path)
    head, *frames = fault.words.splitlines()
    assert head.startswith(f"ssl_models/methods/mine.py, line 11, in helper: {words}")
    assert frames == [
        "    ssl_models/methods/mine.py, line 7, in loss",
        "        return helper(hidden, width)",
        "    ssl_models/methods/mine.py, line 11, in helper",
        f"        {body}",
    ]
    assert fault.final


def test_what_a_device_or_a_network_does_may_pass(mine, tmp_path):
    assert not explain(caught(mine('raise RuntimeError("CUDA error: unspecified")').loss, 7), tmp_path).final


def test_frames_of_libraries_between_are_left_out(mine, tmp_path):
    words = explain(caught(mine("pass").through_a_library), tmp_path).words
    assert words.count("mine.py, line 15") == 3
    assert "site-packages" not in words


def test_where_a_layer_refuses_the_file_entered_first_is_named(mine, tmp_path):
    layer = tmp_path / "ssl_models" / "encoders" / "layer.py"
    layer.parent.mkdir()
    layer.write_text("def forward(hidden):\n    return hidden.view(5)\n")
    spec = importlib.util.spec_from_file_location("layer", layer)
    sys.modules["layer"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = explain(caught(mine("import layer; layer.forward(hidden)").loss, 7), tmp_path).words
    del sys.modules["layer"]
    assert words.startswith("ssl_models/methods/mine.py, line 11, in helper: RuntimeError: shape '[5]' is invalid")
    assert "ssl_models/encoders/layer.py, line 2, in forward" in words


def test_a_refusal_is_told_in_its_own_words_and_is_final(mine, tmp_path):
    fault = explain(caught(mine('raise ValueError("width is 7")').loss, 7), tmp_path)
    assert (fault.words, fault.final) == ("width is 7", True)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (FileNotFoundError(2, "No such file", "images"), True),
        (ConnectionResetError(104, "Connection reset by peer"), False),
        (RuntimeError("the code changed while the stage ran"), False),
        (UnreadableFile("encoder.json", " cannot be read"), True),
    ],
)
def test_what_may_pass_is_tried_again_and_what_cannot_is_not(tmp_path, error, final):
    fault = explain(error, tmp_path)
    assert (fault.words, fault.final) == (str(error), final)


@pytest.mark.parametrize(
    "failing", [lambda: torch.empty(10**15), lambda: numpy.empty(10**15), lambda: (_ for _ in ()).throw(MemoryError())]
)
def test_too_little_memory_is_named_with_what_to_do(tmp_path, failing):
    fault = explain(caught(lambda: next(failing())), tmp_path, memory="lower batch_size")
    assert fault.words.startswith("out of memory (")
    assert fault.words.endswith("; lower batch_size")
    assert fault.final


def test_memory_of_a_gpu_too(tmp_path):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert explain(error, tmp_path).words.startswith(
        "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB.); "
    )


def test_too_little_memory_is_not_taken_for_a_damaged_file(tmp_path):
    with pytest.raises(torch.OutOfMemoryError), legible(tmp_path / "checkpoint.pt"):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_an_error_of_coveys_own_is_not_explained(tmp_path):
    assert explain(KeyError("x"), tmp_path) is None


def test_a_source_that_is_no_python_is_named_by_line(tmp_path):
    with pytest.raises(SyntaxError) as found:
        compile("a = 1\nb = = 2\n", "<unknown>", "exec")
    path = tmp_path / "mine.py"
    assert of_source(path, found.value) == f"{path}, line 2: SyntaxError: invalid syntax\n    b = = 2"
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    assert of_source(path, error).startswith(f"{path}: UnicodeDecodeError: 'utf-8' codec")
