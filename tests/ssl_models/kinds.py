"""Small made-up data of sound and of text, with an encoder of each: what tests of other kinds than pictures share.

Recordings are two tones after each other, "phones" of 80 ms each, with silence around them; a word is a pair of
phones, and a speaker adds an overtone or not. Texts are of a topic, which has words of its own, by a writer, who has
one.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsTruth
from ssl_models.extraction import extract_features, feature_layers
from ssl_models.modalities import sound, words
from ssl_models.protocols._common.score import Representation

RATE, SAMPLES, FRAMES = 8000, 1600, 20
PHONES = ("a", "e", "o", "s")
PITCHES = (300, 700, 1300, 2600)
WORDS = ("ae", "eo", "os", "sa")
TOPICS = ("sea", "city", "forest")
VOCABULARY = (
    *("", "the", "ship", "wave", "salt", "street", "tram", "crowd", "oak", "moss", "fern", "indeed", "perhaps"),
)
"""Of it words 2 to 4 are of the first topic, and so on; the last two are the writers'."""
LENGTH = 12


class Ear(Encoder):
    """Two strided convolutions: one frame every 10 ms."""

    name = "ear"
    modalities = (sound,)

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.dim, self.settings = width, {"width": width}
        self.conv1 = nn.Conv1d(1, width, 40, 10, 15)
        self.conv2 = nn.Conv1d(width, width, 8, 8)

    def standardise(self, inputs: Tensor) -> Tensor:
        return 4 * inputs[:, None]

    def blocks(self) -> dict[str, Any]:
        return {name: lambda x, conv=conv: functional.relu(conv(x)) for name, conv in self.named_children()}

    def pool(self, last: Tensor) -> Tensor:
        return last.mean(2)

    def frames(self, given: Tensor) -> dict[str, Tensor]:
        return self.layers(given)


class Bag(Encoder):
    """The mean of the vectors of a text's words; no word counts as none."""

    name = "reader_of_bags"
    modalities = (words,)

    def __init__(self, vocabulary: int = len(VOCABULARY), width: int = 16) -> None:
        super().__init__()
        self.dim, self.settings = width, {"vocabulary": vocabulary, "width": width}
        self.table = nn.Embedding(vocabulary, width, padding_idx=0)

    def standardise(self, ids: Tensor) -> Tensor:
        return self.table(ids).sum(1) / (ids > 0).sum(1, keepdim=True).clamp(min=1)

    def blocks(self) -> dict[str, Any]:
        return {"mean": nn.Identity()}

    def pool(self, last: Tensor) -> Tensor:
        return last


def recordings(count: int, seed: int) -> dict[str, np.ndarray]:
    """sound, length, word, speaker and phones of so many recordings."""
    draws = np.random.default_rng(seed)
    word, speaker = np.arange(count) % len(WORDS), np.arange(count) // len(WORDS) % 2
    stored = np.zeros((count, SAMPLES), np.int16)
    phones = np.full((count, FRAMES), -1, np.int8)
    starts = draws.integers(0, 4, count)
    time = np.arange(640) / RATE
    for row, start in enumerate(starts):
        for half in (0, 1):
            phone = (word[row] + half) % len(PHONES)
            pitch = PITCHES[phone] * draws.uniform(0.95, 1.05)
            wave = np.sin(2 * np.pi * (pitch * time + draws.random()))
            wave += speaker[row] * 0.8 * np.sin(2 * np.pi * (3700 * time + draws.random()))
            first = start + 8 * half
            phones[row, first : first + 8] = phone
            stored[row, 80 * first : 80 * (first + 8)] = 8000 * wave + draws.normal(0, 200, len(time))
    length = (80 * (starts + 16))[:, None].astype(np.int32)
    return {"sound": stored, "length": length, "word": word, "speaker": speaker, "phones": phones}


def texts(count: int, seed: int) -> dict[str, np.ndarray]:
    """tokens, topic and writer of so many texts."""
    draws = np.random.default_rng(seed)
    topic, writer = np.arange(count) % len(TOPICS), np.arange(count) // len(TOPICS) % 2
    tokens = np.zeros((count, LENGTH), np.int32)
    for row in range(count):
        size = draws.integers(6, LENGTH + 1)
        own = 2 + 3 * topic[row] + draws.integers(0, 3, size)
        tokens[row, :size] = np.where(draws.random(size) < 0.2, 1, own)
        tokens[row, draws.integers(0, size)] = 11 + writer[row]
    return {"tokens": tokens, "topic": topic, "writer": writer}


def representation(
    kind: str, encoder: Encoder | None = None, train: int = 96, test: int = 48, **changed: Any
) -> Representation:
    """Of an encoder, untrained unless it is given, on data of a kind: "sound" or "text"."""
    make, parts, sets = {
        "sound": (recordings, ("sound", "length"), {"word": WORDS, "speaker": ("plain", "bright")}),
        "text": (texts, ("tokens",), {"topic": TOPICS, "writer": ("anna", "bert")}),
    }[kind]
    data = {"train": make(train, 0), "test": make(test, 1)}
    main = next(iter(sets))
    torch.manual_seed(0)
    own = (Ear() if kind == "sound" else Bag()) if encoder is None else encoder
    samples = {split: {part: torch.from_numpy(data[split][part]) for part in parts} for split in data}
    rows = {split: list(extract_features(own, stored, torch.device("cpu"))) for split, stored in samples.items()}

    def truth(split: str, name: str) -> np.ndarray:
        if (found := name.removeprefix("labels.")) not in data[split] or found in parts:
            raise NeedsTruth(f"there are no {name}")
        return data[split][found]

    settings: dict[str, Any] = {
        "layers": feature_layers(own, samples["train"]),
        "features": lambda split, layer: torch.cat([batch[layer] for batch in rows[split]]).numpy(),
        "labels": lambda split: data[split][main].astype(np.int64),
        "classes": len(sets[main]),
        "class_names": sets[main],
        "encoder": lambda: deepcopy(own),
        "samples": lambda split: {part: data[split][part] for part in parts},
        "truth": truth,
        "precision": "float32",
        "known": {"rate": RATE, "phones": list(PHONES)} if kind == "sound" else {"words": list(VOCABULARY)},
        "label_sets": sets,
    }
    return Representation(**(settings | changed))
