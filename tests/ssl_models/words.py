"""Words with vectors of our choice, in place of those that an encoder has learnt."""

from types import SimpleNamespace

import numpy as np
import torch

from ssl_models.protocols._common.score import Representation

OTHER = 8
"""Numbers of a vector that tell of other words than countries."""


def representation(vectors, **known):
    """vectors: word -> its numbers, the most frequent word first. known: what else the reader tells."""
    words = ["", *vectors]
    table = np.zeros((len(words), len(next(iter(vectors.values())))), np.float32)
    table[1:] = list(vectors.values())
    encoder = SimpleNamespace(name="bag", vectors=torch.from_numpy(table).requires_grad_())
    known = {"words": words, "counts": [0, *range(len(vectors), 0, -1)]} | known
    return Representation(("pooled",), *(None,) * 2, 0, encoder=lambda: encoder, known=known)


def capitals(countries=12, others=60, noise=0.0, seed=0):
    """Word -> vector, and questions of two sections. Without noise a capital is its country plus a shift, exactly.

    A vector says which country a word is of and what it is to it. All have one length, so that shifts stay exact. Other
    words have nothing to do with countries.
    """
    draws = np.random.default_rng(seed)
    vectors, sections, size = {}, {"capital-cities": [], "dishes": []}, countries + 3 + OTHER
    for country in range(countries):
        for kind, name in enumerate(("c", "capital", "dish"), countries):
            own = np.zeros(size)
            own[[country, kind]] = 1
            vectors[f"{name}{country}"] = own + noise * draws.normal(size=size)
    for word in range(others):
        vectors[f"word{word}"] = np.concatenate([np.zeros(size - OTHER), draws.normal(size=OTHER)])
    for one in range(countries):
        for other in range(countries):
            if one != other:
                for section, name in zip(sections, ("capital", "dish"), strict=True):
                    sections[section].append([f"c{one}", f"{name}{one}", f"c{other}", f"{name}{other}"])
    return vectors, sections


def with_everything():
    """A representation that has all that a protocol on words can ask for."""
    vectors, sections = capitals()
    similarity = [[f"word{number}", f"word{number + 20}", number] for number in range(20)]
    return representation(vectors, similarity=similarity, analogies=sections)
