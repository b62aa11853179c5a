"""An encoder compiled: off by default and on a CPU, and where the compiler fails it runs as it is and says so."""

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from ssl_models.chunks import divisible
from ssl_models.compiling import compiled, resolve
from ssl_models.encoders import build_encoder
from ssl_models.hardware import resolve_channels_last
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_chunks import made
from tests.ssl_models.test_trainer import images


def failing(cause):
    def compile_(function):  # noqa: ARG001
        def run(*_):
            error = BackendCompilerFailed.__new__(BackendCompilerFailed)
            Exception.__init__(error, "no compiler\nand more")
            raise error from cause

        return run

    return compile_


def test_it_is_off_by_default_and_auto_is_off_on_a_cpu():
    assert not Training(made("simclr"), images(), Settings(batch_size=16), seed=0).compiled
    assert not resolve("auto", torch.device("cpu"))
    assert resolve(True, torch.device("cpu"))
    with pytest.raises(ValueError, match="compile is often; it must be on, off or auto"):
        resolve("often", torch.device("cpu"))


def test_a_failing_compiler_is_told_of_once_and_the_encoder_runs_as_it_is(monkeypatch):
    monkeypatch.setattr(torch, "compile", failing(None))
    method, told = made("simclr"), []
    given = torch.rand(4, 3, 32, 32, dtype=torch.float64)
    expected = method.encoder(given)
    with compiled(method, True, told.append):
        assert torch.equal(method.encoder(given), expected)
        method.encoder(given)
    assert told[0] == "torch.compile failed (no compiler); the encoder runs as it is (machine.compile: off)"
    assert len(told) == len({name for _, name in divisible(method) if name != "frames"})
    assert not any(name in vars(module) for module, name in divisible(method))


def test_want_of_memory_is_no_failure_of_the_compiler(monkeypatch):
    monkeypatch.setattr(torch, "compile", failing(torch.OutOfMemoryError("CUDA out of memory")))
    method = made("simclr")
    with compiled(method, True), pytest.raises(BackendCompilerFailed):
        method.encoder(torch.rand(4, 3, 32, 32, dtype=torch.float64))


@pytest.mark.parametrize(("wanted", "found"), [("auto", True), (True, True), (False, False)])
def test_maps_lie_in_memory_as_wanted(wanted, found):
    encoder = build_encoder("resnet", depth=10, width=8)
    assert resolve_channels_last(wanted, encoder) is found
    training = Training(made("simclr"), images(), Settings(batch_size=16), seed=0, channels_last=wanted)
    weight = dict(training.method.named_parameters())["encoder.res3.0.conv1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last) is found
    with pytest.raises(ValueError, match="channels_last is sometimes; it must be on, off or auto"):
        resolve_channels_last("sometimes", encoder)
