"""CPC on speech: the context of a recording predicts frames that are still to come (van den Oord et al. 2018).

arXiv:1807.03748, section 3.1. From the context c_t of all frames up to t, a matrix W_k for each number of steps k
predicts the frame z_{t + k}, which must be told from other frames: the loss is InfoNCE of the products z W_k c_t.

What is predicted shares no sample with what the context has seen, unless `overlapping`: neighbouring frames overlap,
and can be matched by the samples they share, without any idea of speech.

Letters: B recordings, T frames of a window, C channels of a frame, K steps, N candidates.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.speech import HOP, SEPARATE, Speech
from ssl_models.errors import NeedsSamples
from ssl_models.losses.contrastive import info_nce
from ssl_models.method import Method, Scored
from ssl_models.modalities.sound import MildViews

NEGATIVES = ("mixed", "same_recording", "other_recordings")
NONE = -1
"""In place of a candidate, where there is no frame to draw."""


class CPCSpeech(Method):
    """InfoNCE of predicted frames. Chance is log(N + 1), less where a candidate is what is to be predicted.

    Only frames that lie wholly within `length` predict, are predicted, or are candidates; those of padding are not. The
    loss is the mean over all frames t and steps k. The paper trains on windows of 1.28 s at 16 kHz (20,480 samples), in
    batches of 64, by Adam with a learning rate of 2e-4.

    steps: the farthest frame that is predicted, of 10 ms each. Default 12. Paper 12.
    overlapping: whether the next two frames are predicted too, which share samples with those that the context has
        seen. Default False: steps 3 to `steps`. Paper True.
    negatives: where candidates come from. Default "mixed": all frames of the batch. "same_recording": the frames of
        the recording itself, at other times. It stands for the paper's negatives of the same speaker, which need to
        know who speaks: a recording has one speaker, one microphone and one loudness, so that these tell nothing; but
        what is said in it is little, and the frames next to the right one are among the candidates.
        "other_recordings": frames of the others only, so that voice and microphone tell much. Paper: all recordings,
        or those of the same speaker.
    candidates: N, how many are drawn for each recording and step of the training, with replacement. One that is itself
        what is to be predicted does not count. Default 64. Own.
    gain: of the recordings, see MildViews. Paper 0.
    """

    family = "contrastive"
    reference = "van den Oord et al. 2018, arXiv:1807.03748"
    parts = ("sound", "length")
    encoder: Speech

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        steps: int = 12,
        overlapping: bool = False,
        negatives: str = "mixed",
        candidates: int = 64,
        gain: float = MildViews.gain,
    ) -> None:
        super().__init__(encoder)
        if not isinstance(encoder, Speech):
            raise ValueError(f"cpc_speech predicts frames of the encoder 'speech', and this one is '{encoder.name}'")
        require_choice("negatives", negatives, NEGATIVES)
        require_positive(candidates=candidates)
        self.frames = data.part("sound")[0] // HOP
        self.first = 1 if overlapping else SEPARATE
        require_steps(self.first, steps, self.frames)
        self.negatives, self.candidates = negatives, candidates
        self.mild_views = MildViews(shift=0, gain=gain)
        width = encoder.settings["width"]
        self.predict = nn.ModuleList(nn.Linear(encoder.dim, width, bias=False) for _ in range(self.first, steps + 1))
        for predict in self.predict:  # near zero: random predictions would first be unlearnt, which takes epochs
            nn.init.normal_(predict.get_parameter("weight"), std=0.001)

    def views(self, sound: Tensor, length: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, S) int16 and (B, 1) int32 samples -> the sound (B, S), its frames (B,), and candidates (B, N).

        A candidate is b * T + t for frame t of recording b, or NONE.
        """
        frames = (length[:, 0].long() // HOP).clamp(0, self.frames)
        heard = self.mild_views(sound, generator)
        return heard, frames, self.draw(frames, generator)

    def draw(self, frames: Tensor, generator: Generator) -> Tensor:
        """(B,) frames of each recording -> (B, N) candidates, drawn evenly from those that `negatives` allows."""
        ends = frames.cumsum(0)  # the frames of a batch are numbered through, padding left out
        total, starts = ends[-1:], ends - frames
        first, choice = {
            "mixed": (torch.zeros_like(starts), total.expand_as(starts)),
            "same_recording": (starts, frames),
            "other_recordings": (ends, total - frames),  # round the end, to the recording's own start
        }[self.negatives]
        chances = torch.rand(len(frames), self.candidates, generator=generator, device=frames.device)
        drawn = (first[:, None] + (chances * choice[:, None]).long()) % total.clamp(min=1)
        recording = torch.searchsorted(ends, drawn, right=True).clamp(max=len(frames) - 1)
        places = recording * self.frames + drawn - starts[recording]
        return places.where(choice[:, None] > 0, NONE)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """InfoNCE; how often what comes is the likeliest, over all steps, in the first and in the last (logged)."""
        heard, frames, candidates = views
        maps = self.encoder.frames(heard)
        context, coming = maps["context"].transpose(1, 2), maps["conv4"].transpose(1, 2).float()  # (B, T, C)
        drawn = coming.flatten(0, 1)[candidates.clamp(min=0)]  # (B, N, C)
        times = torch.arange(self.frames, device=frames.device)
        own = times + self.frames * torch.arange(len(index), device=frames.device)[:, None]  # (B, T)
        left_out = (candidates[:, None] == own[:, :, None]) | (candidates == NONE)[:, None]  # (B, T, N)
        level = (~left_out).sum(2).add(1).log()  # (B, T): chance of a prediction of this frame
        inside = times < frames[:, None]
        costs, hits, levels, numbers = [], [], [], []
        for k, predict in enumerate(self.predict, start=self.first):
            cost, hit = scores(predict(context[:, :-k]), coming[:, k:], drawn, left_out[:, k:])
            counted = inside[:, k:]
            costs.append((cost * counted).sum())
            hits.append((hit & counted).sum())
            levels.append((level[:, k:] * counted).sum())
            numbers.append(counted.sum())
        number = torch.stack(numbers)  # (K,)
        loss, chance = (torch.stack(sums).sum() / number.sum().clamp(min=1) for sums in (costs, levels))
        hit_rates = torch.stack(hits) / number.clamp(min=1)
        accuracy = torch.stack(hits).sum() / number.sum().clamp(min=1)
        return Scored(
            {"loss": loss, "accuracy": accuracy, "accuracy_first": hit_rates[0], "accuracy_last": hit_rates[-1]},
            chance=float(chance),
        )


def scores(predicted: Tensor, coming: Tensor, drawn: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions (B, T, C), what comes (B, T, C), candidates (B, N, C) -> InfoNCE (B, T), and whether it wins.

    Those `left_out` (B, T, N) do not count. Products are worked out in float32.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        predicted = predicted.float()
        positive = (predicted * coming).sum(2)
        negative = (predicted @ drawn.transpose(1, 2)).masked_fill_(left_out, -math.inf)
        cost = info_nce(positive.flatten(), negative.flatten(0, 1)).view_as(positive)
    return cost, positive.detach() > negative.detach().amax(2)


def require_steps(first: int, steps: int, frames: int) -> None:
    """Refuses steps that windows of so many frames do not allow."""
    if frames <= first:
        raise NeedsSamples(
            f"cpc_speech predicts {first} frames of {HOP} samples ahead at least, and these windows have {frames}; "
            f"windows of {(first + 1) * HOP} samples are the shortest"
        )
    if not first <= steps < frames:
        hint = "" if first == 1 else f", or {1} to {frames - 1} with overlapping: true"
        raise ValueError(f"steps is {steps}; windows of {frames} frames allow {first} to {frames - 1}{hint}")


METHOD = CPCSpeech
