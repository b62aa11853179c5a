"""Encoders compiled by torch.compile while a training lasts; where that fails they go on as they are, and say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from ssl_models.chunks import divisible
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import first_line
from ssl_models.parallel.processes import world

CHOICES = (True, False, "auto")


def resolve(wanted: bool | str, device: torch.device) -> bool:
    """Whether to compile. "auto": on a GPU that Triton writes code for; on a CPU it takes longer than it saves.

    Never in several processes: batch normalisation talks to the others in the midst of an encoder.
    """
    if wanted not in CHOICES:
        raise ValueError(f"compile is {wanted}; it must be on, off or auto")
    if isinstance(wanted, bool) or world() > 1:
        return wanted is True and world() == 1
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return capable and find_spec("triton") is not None


@contextmanager
def compiled(method: nn.Module, on: bool, tell: Callable[[str], None] = print) -> Iterator[None]:
    """Within this context, what the encoders of `method` compute runs compiled. tell: is given a line on failure."""
    changed: list[tuple[nn.Module, str]] = []
    try:
        if on:
            for module, name in divisible(method):
                if isinstance(module, Encoder):
                    vars(module)[name] = _with_way_back(getattr(module, name), tell)
                    changed.append((module, name))
        yield
    finally:
        for module, name in changed:
            vars(module).pop(name, None)


def _with_way_back(function: Callable[..., Any], tell: Callable[[str], None]) -> Callable[..., Any]:
    """The function compiled; after an error of the compiler, as it was."""
    from torch._dynamo.exc import TorchDynamoException

    fast: Callable[..., Any] | None = torch.compile(function)

    @wraps(function)
    def run(*inputs: Any) -> Any:
        nonlocal fast
        if fast is None or torch.compiler.is_compiling():
            return function(*inputs)
        try:
            return fast(*inputs)
        except TorchDynamoException as error:
            if isinstance(error.__cause__, (MemoryError, torch.OutOfMemoryError)):
                raise
            fast = None
            tell(f"torch.compile failed ({first_line(error, 200)}); the encoder runs as it is (machine.compile: off)")
            return function(*inputs)

    return run
