"""Strided convolutions over sound, and a recurrent context: the network of CPC (van den Oord et al. 2018).

arXiv:1807.03748, section 3.1. One frame per 10 ms at 8 kHz, as in the paper at 16 kHz, whose fifth convolution of
stride 2 is left out here.

Time. Frame t stands for the samples [80 t, 80 t + 80), and sees those from 80 t - 72 to 80 t + 152, 28 ms in all. So
the frames t and t + k share no sample from k = 3 on (SEPARATE). The context of frame t sees the frames 0 to t, and so
no sample after 80 t + 152: beyond its own 10 ms it looks ahead by 9 ms (AHEAD), and no further.

Letters: B recordings of S samples, T = S / 80 frames, C channels, T' the time steps of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.modalities import sound

STRIDES = (5, 4, 2, 2)

HOP = math.prod(STRIDES)
"""Samples from one frame to the next."""

RATES = (*(math.prod(STRIDES[number + 1 :]) for number in range(len(STRIDES))), 1)
"""Time steps of each layer in a frame, from conv1 to context."""

FIELD = 1 + sum((2 * stride - 1) * math.prod(STRIDES[:number]) for number, stride in enumerate(STRIDES))
"""Samples that a frame sees."""

SEPARATE = math.ceil(FIELD / HOP)
"""So many frames on, a frame sees no sample that this one sees."""

BEFORE, AHEAD = (FIELD - HOP) // 2, FIELD - HOP - (FIELD - HOP) // 2
"""Samples that a frame sees before and after those it stands for."""

SPANS = 16
"""Parts of equal length that `layers` divides a recording into."""

AT_ONCE = 64
"""Recordings that are computed at once where no gradient is needed: more take memory, and no less time."""


class StridedConvolution(nn.Module):
    """(B, T', channels_in) -> (B, T' / stride - 1, channels): a kernel of two strides, a norm, and a ReLU.

    The norm is over the channels of a time step. One over time would show each step the future, which CPC predicts,
    and padding would change it. Batch norm would show the other recordings of a batch, too: what a speaker's frames
    have in common could then be told without hearing them. It also takes loudness out, down to a floor.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.kernel = nn.Linear(2 * stride * channels_in, channels, bias=False)  # weight (C, kernel * channels_in)
        self.norm = nn.LayerNorm(channels)
        nn.init.kaiming_normal_(self.kernel.weight, nonlinearity="relu")

    def forward(self, steps: Tensor) -> Tensor:
        """As a kernel is two strides long, its windows are pairs of neighbouring blocks: one product of matrices.

        On a CPU with bfloat16 that is over twice as fast as nn.Conv1d.
        """
        blocks = steps.reshape(len(steps), -1, self.stride * steps.shape[2])
        windows = torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=2)
        return functional.relu(self.norm(self.kernel(windows)))


class Speech(Encoder):
    """Layers conv1 to conv4 with 1,600, 400, 200 and 100 steps a second, and context with 100, at 8 kHz.

    `frames` gives them step by step. `layers` gives means over SPANS equal parts of what was recorded: zeros at the end
    of a row are padding, count as no frame, and change nothing. So the mean over time of a layer is that of its frames.

    width: channels of the convolutions. Default 64. Paper 512.
    hidden: units of the context, a GRU, and so `dim`. Default 128. Paper 256.
    """

    name = "speech"
    modalities = (sound,)

    def __init__(self, *, width: int = 64, hidden: int = 128) -> None:
        super().__init__()
        require_positive(width=width, hidden=hidden)
        self.dim = hidden
        self.settings = {"width": width, "hidden": hidden}
        channels = (1, *(width for _ in STRIDES))
        self.convolutions = nn.ModuleDict(
            {
                f"conv{number + 1}": StridedConvolution(channels[number], width, stride)
                for number, stride in enumerate(STRIDES)
            }
        )
        self.recurrence = nn.GRU(width, hidden, batch_first=True)
        weight = self.recurrence.get_parameter("weight_ih_l0")
        nn.init.kaiming_normal_(weight, nonlinearity="relu")  # torch's own leave the context faint

    def standardise(self, *inputs: Tensor) -> Tensor:
        """(B, S) -> (B, 80 T + 145, 1): padded by zeros so that there are T = S / 80 frames, rounded down.

        All padding is here and none between layers: so zeros that a row ends with are the same as its end. Raises
        ValueError for less than a frame.
        """
        (sounds,) = inputs
        count = sounds.shape[1] // HOP
        if not count:
            raise ValueError(f"the sound has {sounds.shape[1]} samples; the encoder 'speech' needs at least {HOP}")
        return functional.pad(sounds, (BEFORE, count * HOP + AHEAD - sounds.shape[1])).unsqueeze(2)

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """conv1 to conv4, context: (B, T', C) -> (B, T', C), with steps around the frames that the next layer needs."""
        return {**dict(self.convolutions.items()), "context": self.context}

    def context(self, steps: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, hidden) in float32: rounding to bfloat16 would add up over the steps."""
        with torch.autocast(steps.device.type, enabled=False):
            output: Tensor = self.recurrence(steps.to(next(self.recurrence.parameters()).dtype))[0]
        return output

    def frames(self, sounds: Tensor) -> dict[str, Tensor]:
        """(B, S) -> each layer (B, C, T'), step by step: T' is 16 T, 4 T, 2 T, T for conv1 to conv4, T for context."""
        hidden, found, count = self.standardise(sounds), {}, sounds.shape[1] // HOP
        for (layer, block), rate in zip(self.blocks().items(), RATES, strict=True):
            hidden = block(hidden)
            before = (hidden.shape[1] - rate * count) // 2  # as many steps as there are after the last frame
            found[layer] = hidden[:, before : before + rate * count].transpose(1, 2)
        return found

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """(B, S) -> each layer (B, C, SPANS), means over equal parts of what was recorded."""
        (sounds,) = inputs
        if torch.is_grad_enabled() or len(sounds) <= AT_ONCE:
            return self._layers(sounds)
        several = [self._layers(few) for few in torch.split(sounds, AT_ONCE)]
        return {layer: torch.cat([found[layer] for found in several]) for layer in several[0]}

    def _layers(self, sounds: Tensor) -> dict[str, Tensor]:
        recorded = frames_recorded(sounds)
        return {layer: spans(steps, recorded, sounds.shape[1] // HOP) for layer, steps in self.frames(sounds).items()}

    def pool(self, last: Tensor) -> Tensor:
        """(B, hidden, SPANS) -> (B, hidden): the mean over time."""
        return last.mean(2)


def frames_recorded(sounds: Tensor) -> Tensor:
    """(B, S) -> (B,) int64: how many frames lie before the zeros that a row ends with, at least 1."""
    places = torch.arange(1, sounds.shape[1] + 1, device=sounds.device)
    samples = ((sounds != 0) * places).amax(1)
    return (samples // HOP).clamp(min=1)


def spans(steps: Tensor, recorded: Tensor, count: int) -> Tensor:
    """(B, C, T') -> (B, C, SPANS) float: means over equal parts of the first `recorded` (B,) of `count` frames.

    A step that lies in two parts counts in each by its share.
    """
    length, exact = steps.shape[2], torch.promote_types(steps.dtype, torch.float32)
    parts = torch.linspace(0, 1, SPANS + 1, dtype=exact, device=steps.device)
    edges = (recorded * (length // count))[:, None] * parts  # (B, SPANS + 1)
    starts = torch.arange(length, device=steps.device)[:, None]
    left, right = edges[:, None, :-1], edges[:, None, 1:]
    shares = (torch.minimum(starts + 1, right) - torch.maximum(starts, left)).clamp(min=0) / (right - left)
    with torch.autocast(steps.device.type, enabled=False):
        return steps.to(exact) @ shares


ENCODER = Speech
