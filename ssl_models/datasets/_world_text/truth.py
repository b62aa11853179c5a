"""What is true of the words of the world by their attributes: how alike two of them are, and which pairs are parallel.

An attribute is what contexts express: a word's kind, its form, and each of the settings that its row is met in. So
paris is most like rome, which has its form and one of its settings; less like athens, which has its form; less like
france, which has its settings; and hardly like king.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ssl_models.datasets._world_text.lexicon import KINDS

SECTIONS: dict[str, tuple[str, str]] = {
    "capitals": ("country", "capital"),
    "languages": ("country", "language"),
    "dishes": ("country", "dish"),
    "names": ("his_name", "her_name"),
    "gender": ("male", "female"),
    "plural": ("singular", "plural"),
    "past": ("base", "past"),
    "progressive": ("base", "progressive"),
    "comparative": ("plain", "comparative"),
    "superlative": ("plain", "superlative"),
}
"""Section of the analogies -> the forms of a : b."""
QUESTIONS = 300
"""Analogies of a section at most; they are spread evenly over all pairs of its rows."""
PAIRS = 80
"""Pairs of words at most of each degree of similarity."""


WEIGHTS = {"kind": 1, "form": 4, "setting": 1}
"""Of an attribute. Own: set so that more similar words have contexts that are more alike when counted, since the words
that go with a form make up more of a sentence than the settings do."""


@cache
def attributes() -> dict[str, dict[str, int]]:
    """Each form of a row -> its attributes, with their weights."""
    return {
        word: {kind.name: WEIGHTS["kind"], f"{kind.name}.{form}": WEIGHTS["form"]}
        | dict.fromkeys(settings, WEIGHTS["setting"])
        for kind in KINDS
        for row, settings in zip(kind.words, kind.settings, strict=True)
        for form, word in zip(kind.forms, row, strict=True)
    }


def similarity(first: str, second: str) -> float:
    """The weight of what both words have, of what either has (Jaccard), from 0 to 10 as in WordSim-353."""
    one, other = attributes()[first], attributes()[second]
    shared = sum(weight for attribute, weight in one.items() if attribute in other)
    return round(10 * shared / sum((one | other).values()), 2)


@cache
def similarities() -> list[list[str | float]]:
    """[word, word, score], at most PAIRS of each score, the same whatever the seed of the data is."""
    words = list(attributes())
    by_score: dict[float, list[tuple[str, str]]] = {}
    for place, first in enumerate(words):
        for second in words[place + 1 :]:
            by_score.setdefault(similarity(first, second), []).append((first, second))
    random = np.random.default_rng(0)
    found: list[list[str | float]] = []
    for score, pairs in sorted(by_score.items()):
        chosen = sorted(random.permutation(len(pairs))[:PAIRS])
        found += [[*pairs[index], score] for index in chosen]
    return found


@cache
def analogies() -> dict[str, list[list[str]]]:
    """Section -> [a, b, c, d]: a is to b as c is to d."""
    return {section: _questions(*forms) for section, forms in SECTIONS.items()}


def _questions(first: str, second: str) -> list[list[str]]:
    kind = next(kind for kind in KINDS if first in kind.forms)
    pairs = [[row[kind.forms.index(first)], row[kind.forms.index(second)]] for row in kind.words]
    every = [[*one, *other] for one in pairs for other in pairs if one != other]
    return [every[index] for index in np.linspace(0, len(every) - 1, min(QUESTIONS, len(every))).round().astype(int)]
