"""Which phone is spoken, every 10 ms: a linear classifier on the frozen frames of each layer.

van den Oord et al. 2018 (arXiv:1807.03748, section 3.1), who classify frames of LibriSpeech into 41 phones: random
weights 27.6 %, mfcc 39.7 %, contrastive predictive coding 64.6 %, supervised 74.6 % (table 1).

Legend: N recordings, T frames of 10 ms of each, F frames in all, C channels, K phones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import torch
from numpy import ndarray
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import DoesNotApply, NeedsParts, NeedsSamples
from ssl_models.feeding import batches, slices
from ssl_models.figures import TEXT, figure, pixels
from ssl_models.hardware import autocast, pick_device, place, resolve_precision
from ssl_models.modalities.inputs import inputs
from ssl_models.protocols._common.baselines import MAJORITY, MFCC
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.mfcc import mfcc
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._linear.classifier import WEIGHT_DECAYS, Fitting, logits
from ssl_models.protocols._linear.standardised import Standardised, standardised_rows

NEEDS = ("encoder", "samples", "phones")
TITLE = "phones"
READING = (
    "A linear classifier says for every 10 ms which phone is spoken, from the frozen frames of one layer. mfcc is the "
    "classical features of speech in the same test, and majority the answer that is right most often."
)
HEADLINE = "frame_accuracy"
UNITS = {"frame_accuracy": "share"}
RECORDINGS = 64
"""That an encoder is given at once."""
NUMBERED = 24
"""The most phones with numbers in the cells of their picture."""
Blocks = Iterator[tuple[slice, dict[str, ndarray]]]


def evaluate(
    representation: Representation,
    *,
    seed: int,
    frames: int = 40_000,
    weight_decays: list[float] = WEIGHT_DECAYS,
    iterations: int = 100,
) -> Findings:
    """frame_accuracy: the share of test frames whose phone is told, for each layer and two rows without an encoder.

    A layer with more frames than one in 10 ms is averaged to that; one with fewer is repeated. Frames in which nothing
    is spoken (-1) do not count. "mfcc": 13 mel-frequency cepstral coefficients and their deltas. "majority": the most
    frequent phone of the training frames, always. The classifiers are those of linear.py, but the tenth that ranks the
    weight decays is of recordings. Frames of a recording are alike, so the 95 % interval is by bootstrap over
    recordings. The picture "confusion": what the best layer answers for each phone.

    frames: the most training frames, drawn with `seed`. All test frames count. weight_decays, iterations: as in
    linear.py.
    Raises NeedsTruth for data without phones, NeedsParts for samples without sound, DoesNotApply for an encoder that
    gives no frames, NeedsSamples where no frame counts, ValueError for settings or truth out of range.
    """
    refuse(frames=frames, weight_decays=weight_decays, iterations=iterations)
    names = tuple(map(str, representation.known.get("phones", ())))
    phones = {split: _phones(representation, split, len(names)) for split in ("train", "test")}
    encoder = _with_frames(representation)
    chosen = _drawn(phones["train"], frames, seed)
    classifiers = _fitted(representation, encoder, phones["train"], chosen, Fitting(weight_decays, iterations, seed))
    confusions = _confusions(representation, encoder, phones["test"], classifiers)
    most = np.bincount(phones["train"][phones["train"] >= 0]).argmax()
    guess = _counts(phones["test"], np.full_like(phones["test"], most), len(names))
    rows = {MFCC: confusions.pop(MFCC), MAJORITY: guess} | confusions
    scores = [_score(layer, table, seed) for layer, table in rows.items()]
    best = max(scores[2:], key=lambda score: score.value)
    title = f"{best.layer}: {100 * best.value:.1f} % of the frames"
    return Findings(scores, {"confusion": draw_confusion(rows[best.layer].sum(0), names, title)})


def refuse(*, frames: int = 40_000, weight_decays: list[float] = WEIGHT_DECAYS, iterations: int = 100) -> None:
    """Raises ValueError for settings out of range."""
    if frames < 1:
        raise ValueError(f"frames = {frames} must be at least 1")
    Fitting(weight_decays, iterations, seed=0)


def draw_confusion(counts: ndarray, names: tuple[str, ...], title: str) -> ndarray:
    """(H, W, 3) uint8 of counts (K, K): a row a spoken phone, a column an answer, as per cent of the row."""
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.2 + 0.42 * len(names)
    drawn = figure(max(6.0, side), max(5.2, side - 0.6))
    axes = drawn.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(np.round(shares) >= 1) if len(names) <= NUMBERED else ():
        ink = "white" if shares[row, column] > 55 else "black"
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=TEXT - 1, color=ink)
    axes.set_xticks(range(len(names)), names, fontsize=TEXT, rotation=0 if max(map(len, names)) < 4 else 90)
    axes.set_yticks(range(len(names)), names, fontsize=TEXT)
    axes.set_xlabel("answer, % of a row", fontsize=TEXT)
    axes.set_ylabel("spoken", fontsize=TEXT)
    axes.set_title(title, fontsize=TEXT + 1)
    drawn.tight_layout()
    return pixels(drawn)


def _phones(representation: Representation, split: str, count: int) -> ndarray:
    """(N, T) int64."""
    found = np.array(representation.truth(split, "phones"), np.int64)
    if found.ndim != 2 or found.max(initial=-1) >= count or found.min(initial=0) < -1:
        raise ValueError(
            f"the {split} phones of shape {found.shape} must be a row a recording of numbers from -1 to {count - 1}"
        )
    if not (found >= 0).any():
        raise NeedsSamples(f"no phone is spoken in the {split} recordings")
    return found


def _with_frames(representation: Representation) -> Encoder:
    """The encoder, frozen, on its device."""
    encoder, there = representation.encoder(), representation.samples("train")
    if "sound" not in there:
        raise NeedsParts(("sound",), there, "the protocol")
    if not hasattr(encoder, "frames"):
        raise DoesNotApply(f"the encoder '{encoder.name}' gives no features of frames; one of speech does")
    place(encoder, pick_device(), channels_last=encoder.convolutional)
    return encoder.eval()


def _drawn(phones: ndarray, frames: int, seed: int) -> ndarray:
    """(N, T) bool: at most so many of the frames in which something is spoken."""
    spoken = np.flatnonzero(phones >= 0)
    if len(spoken) > frames:
        spoken = np.random.default_rng(seed).choice(spoken, frames, replace=False)
    chosen = np.zeros(phones.size, bool)
    chosen[spoken] = True
    return chosen.reshape(phones.shape)


def _fitted(
    representation: Representation, encoder: Encoder, phones: ndarray, chosen: ndarray, fitting: Fitting
) -> dict[str, tuple[Standardised, torch.Tensor]]:
    """Layer -> its chosen training frames, and the classifier (K, C + 1) on them."""
    found: dict[str, list[ndarray]] = {}
    for block, layers in _frames(representation, encoder, "train", phones):
        for layer, values in layers.items():
            found.setdefault(layer, []).append(values[chosen[block]])
    recordings, own = np.unique(np.nonzero(chosen)[0], return_inverse=True)
    held_out = fitting.hold_out(len(recordings))
    of_frames = held_out[torch.from_numpy(own)] if held_out is not None else None
    labels, classes = torch.from_numpy(phones[chosen]), len(representation.known["phones"])
    classifiers = {}
    for layer, parts in found.items():
        train = standardised_rows(np.concatenate(parts), layer, len(labels))
        classifiers[layer] = train, fitting.solutions(train, [(labels, classes)], of_frames)[0]
    return classifiers


def _confusions(
    representation: Representation,
    encoder: Encoder,
    phones: ndarray,
    classifiers: dict[str, tuple[Standardised, torch.Tensor]],
) -> dict[str, ndarray]:
    """Layer -> (N, K, K): how often each recording's spoken phone gets an answer."""
    found: dict[str, list[ndarray]] = {layer: [] for layer in classifiers}
    classes = len(representation.known["phones"])
    for block, layers in _frames(representation, encoder, "test", phones):
        for layer, values in layers.items():
            train, solution = classifiers[layer]
            rows = Standardised(values.reshape(-1, values.shape[2]), train.mean, train.deviation)
            answers = logits(rows, solution).argmax(1).reshape(values.shape[:2])
            found[layer].append(_counts(phones[block], answers, classes))
    return {layer: np.concatenate(parts) for layer, parts in found.items()}


def _counts(phones: ndarray, answers: ndarray, classes: int) -> ndarray:
    """(N, T) twice -> (N, K, K)."""
    found = np.zeros((len(phones), classes, classes), np.int32)
    recording, frame = np.nonzero(phones >= 0)
    np.add.at(found, (recording, phones[recording, frame], answers[recording, frame]), 1)
    return found


@torch.inference_mode()
def _frames(representation: Representation, encoder: Encoder, split: str, phones: ndarray) -> Blocks:
    """Block of recordings after block: its place, and row -> (B, T, C) float32, the cepstral coefficients first."""
    parts, rate, count = representation.samples(split), int(representation.known["rate"]), phones.shape[1]
    if len(parts["sound"]) != len(phones):
        raise ValueError(f"there are phones of {len(phones)} {split} recordings, and {len(parts['sound'])} recordings")
    device = pick_device()
    precision = resolve_precision(representation.precision, device)
    read, in_memory = [parts[name] for name in ("sound", "length") if name in parts], torch.device("cpu")
    with closing(batches(read, slices(len(phones), RECORDINGS), in_memory)) as ahead:
        for block, (sound, *length) in ahead:
            lengths = length[0][:, 0].numpy() if length else None
            with autocast(precision, device):
                layers = encoder.frames(inputs(sound.to(device)))  # type: ignore[operator]
            found = {MFCC: mfcc(sound.numpy(), rate, count, lengths)}
            for layer, values in layers.items():
                fitted = functional.adaptive_avg_pool1d(values.float(), count)
                found[layer] = fitted.transpose(1, 2).cpu().numpy()
            yield block, found


def _score(layer: str, table: ndarray, seed: int) -> Score:
    """The accuracy of a table (N, K, K) of counts, with its interval over recordings."""
    hits, counted = np.trace(table, axis1=1, axis2=2), table.sum((1, 2))

    def share(units: ndarray) -> float:
        total = counted[units].sum()
        return float(hits[units].sum() / total) if total else float("nan")

    low, high = bootstrap(share, len(counted), seed=seed)
    return Score(layer, "frame_accuracy", share(np.arange(len(counted))), low, high)
