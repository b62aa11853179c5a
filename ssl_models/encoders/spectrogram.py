"""Convolutions over a log-spectrogram: how the sound networks of Arandjelovic & Zisserman 2017 hear (1705.08168).

Section 2.1 there: one second at 48 kHz, windows of 10 ms, half overlapping, 257 frequencies and 199 times, and a
network as for pictures. Here: windows of 32 ms at 8 kHz, 16 ms apart, which resolve 31 Hz.

Levels are in dB below the loudest point of a recording, down to a floor. So a gain changes nothing at all, and how loud
a recording is cannot be told; how far its noise lies below it can.

Letters: B recordings of S samples, F frequencies, T times, C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssl_models.bounds import require_choice, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import NORMS
from ssl_models.modalities import sound

WINDOW, HOP = 256, 128
"""Samples of a window, and from one to the next."""

FLOOR = -60.0
"""dB below the loudest point, where levels end: a sine and the rounding to int16 are farther apart from 1 % of full
scale on."""

SILENCE = 1e-12
"""Power that counts as none. A sine of one step of int16 has 1e-9."""

LAYERS = 4


class Spectrogram(Encoder):
    """Four 3x3 convolutions of stride 2, conv1 to conv4, over the log-spectrogram; the representation is their mean.

    width: channels of conv1, doubled at each later layer. Default 16. Paper 64, eight convolutions.
    norm: "batch" or "group", see ResNet. Default "batch", as in the paper.
    """

    name = "spectrogram"
    modalities = (sound,)
    convolutional = True

    def __init__(self, *, width: int = 16, norm: str = "batch") -> None:
        super().__init__()
        require_positive(width=width)
        require_choice("encoder norm", norm, tuple(NORMS))
        self.dim = width * 2 ** (LAYERS - 1)
        self.settings = {"width": width, "norm": norm}
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        channels_in = 1
        for number in range(LAYERS):
            channels = width * 2**number
            convolution = nn.Conv2d(channels_in, channels, 3, 2, 1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            layer = nn.Sequential(convolution, NORMS[norm](channels), nn.ReLU(inplace=True))
            self.add_module(f"conv{number + 1}", layer)
            channels_in = channels

    def standardise(self, *inputs: Tensor) -> Tensor:
        """(B, S) -> (B, 1, F, T) in [-2, 2], 2 being the loudest point: F = 128, T = 1 + S / HOP rounded down.

        In float32 even under autocast. The mean of a window, at 0 Hz, is left out. Zeros are added at both ends, by
        half a window. Raises ValueError for less than a window.
        """
        (sounds,) = inputs
        if sounds.shape[1] < WINDOW:
            raise ValueError(
                f"the sound has {sounds.shape[1]} samples; the encoder 'spectrogram' needs at least {WINDOW}"
            )
        with torch.autocast(sounds.device.type, enabled=False):
            exact = sounds.to(self.window.dtype)
            spectrum = torch.stft(
                exact, WINDOW, HOP, window=self.window, center=True, pad_mode="constant", return_complex=True
            )
            power = torch.view_as_real(spectrum[:, 1:]).square().sum(3) * (2 / WINDOW) ** 2  # of a sine: about 1
            return levels(power)[:, None]

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """conv1 to conv4: (B, C, F, T) -> (B, C', F / 2, T / 2)."""
        layers = dict(self.named_children())
        return {f"conv{number + 1}": layers[f"conv{number + 1}"] for number in range(LAYERS)}

    def pool(self, last: Tensor) -> Tensor:
        """(B, dim, F, T) -> (B, dim): the mean over frequencies and times."""
        return last.mean((2, 3))


def levels(power: Tensor) -> Tensor:
    """(B, F, T) -> dB below the loudest of each recording, FLOOR or more, as -2 to 2; silence is -2 throughout."""
    loudest = power.amax((1, 2), keepdim=True).clamp(min=SILENCE)
    below = 10 * (power / loudest).clamp(min=10 ** (FLOOR / 10)).log10()  # FLOOR to 0
    return 2 - below * (4 / FLOOR)


ENCODER = Spectrogram
