"""The device and the precision to compute with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

PRECISIONS = ("auto", "bf16", "float32")


def pick_device() -> torch.device:
    """The GPU that this process may use, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(precision: str, device: torch.device) -> str:
    """ "auto" -> "bf16" where the hardware multiplies it natively, else "float32"; other names stay as they are."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision '{precision}' is unknown; choose one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bf16" if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported() else "float32"


def place(module: nn.Module, device: torch.device, *, channels_last: bool) -> None:
    """Moves a module to `device`, in place. channels_last: stores convolution weights in the order (O, H, W, I)."""
    module.to(device)
    if channels_last:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def resolve_channels_last(wanted: bool | str, encoder: Encoder) -> bool:
    """Whether weights and maps lie in memory as (B, H, W, C). "auto": for encoders that compute faster so."""
    if wanted not in (True, False, "auto"):
        raise ValueError(f"channels_last is {wanted}; it must be on, off or auto")
    return encoder.convolutional if isinstance(wanted, str) else wanted


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a forward pass runs in a resolved precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
