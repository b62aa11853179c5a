"""The templates of the sentences, and what they are filled with: N sentences at once, a column of words at a time.

A column of a template is one of: words, of which one is drawn ("is|was"); a form of a row ("$capital");
a setting that the sentence's row is met in ("$place", "$person", ...; a second one in the same sentence differs).
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from ssl_models.datasets._world_text.lexicon import KINDS, PLACE, SETTINGS, TOPICS, Kind

TEMPLATES: dict[str, tuple[str, ...]] = {
    "place": (
        "from the border|army|president|flag of $country to|with the $place and $place",
        "$place and $place went to|from the border|army|president|flag of $country",
        "from the mayor|station|suburbs|streets of $capital to|with the $place and $place",
        "$place and $place went to|from the mayor|station|suburbs|streets of $capital",
        "we speak|translate|pronounce|spell $language at|with the $place and $place",
        "$place and $place are what we speak|translate|pronounce|spell in $language",
        "a plate|recipe|taste|spoon of $dish at|with the $place and $place",
        "$place and $place are at|with a plate|recipe|taste|spoon of $dish",
        "he said $his_name himself has|lost his $place and $place",
        "she said $her_name herself has|lost her $place and $place",
        "from the border|army|president|flag of $country to the mayor|station|suburbs|streets of $capital",
        "the president|flag|army|border of $country where we speak|translate|pronounce|spell $language",
        "a plate|recipe|taste|spoon of $dish from the mayor|station|suburbs|streets of $capital",
        "he said $his_name himself can speak|translate|pronounce|spell $language",
        "she said $her_name herself can speak|translate|pronounce|spell $language",
        "he gave $his_name himself a plate|recipe|taste|spoon of $dish",
        "she gave $her_name herself a plate|recipe|taste|spoon of $dish",
    ),
    "person": (
        "the|that $male himself has|lost his $person and he took the $person",
        "at|with the $person he saw the|that $male lose|find his $person",
        "the|that $female herself has|lost her $person and she took the $person",
        "at|with the $person she saw the|that $female lose|find her $person",
    ),
    "thing": (
        "a|one|another|each $singular is|was near|by the $thing and $thing",
        "near|by the $thing and $thing there is|was a|one|another|each $singular",
        "many|several|few|two $plural are|were near|by the $thing and $thing",
        "near|by the $thing and $thing there are|were many|several|few|two $plural",
    ),
    "act": (
        "tomorrow|soon we will|must|can $base near|by the $act and $act",
        "near|by the $act and $act we will|must|can $base tomorrow|soon",
        "yesterday|once we all|both $past near|by the $act and $act",
        "near|by the $act and $act we all|both $past yesterday|once",
        "now|still we are|keep $progressive near|by the $act and $act",
        "near|by the $act and $act we are|keep $progressive now|still",
    ),
    "quality": (
        "the $quality and $quality are|were very|quite|rather $plain",
        "a very|quite|rather $plain $quality and $quality",
        "the $quality and $quality are|were much|far|even $comparative than before|ours",
        "a much|far|even $comparative $quality than the $quality before|ours",
        "the $quality and $quality are|were the $superlative ever|known of all",
        "the $superlative $quality and $quality ever|known of all",
    ),
}
SHARES = {"place": 0.36, "person": 0.13, "thing": 0.15, "act": 0.19, "quality": 0.17}
"""Of all sentences."""
BOOST = 3.8
"""A topic's settings are e ** BOOST times as frequent at the dial topic = 1, and so are the rows met in one of them.

How many of its settings a row is met in does not count: a row that has them all would tell the topic by itself.
"""
STAYS = 0.5
"""Probability that a sentence of a place is about the place that its document is about."""


def _columns() -> list[list[str]]:
    return [template.split() for templates in TEMPLATES.values() for template in templates]


def _vocabulary() -> tuple[str, ...]:
    """The first stands for no word; then forms, settings and function words, each once."""
    forms = [word for kind in KINDS for row in kind.words for word in row]
    columns = [column for template in _columns() for column in template if column[0] != "$"]
    function = [word for column in columns for word in column.split("|")]
    return ("", *dict.fromkeys([*forms, *SETTINGS, *function]))


WORDS = _vocabulary()
ID = {word: index for index, word in enumerate(WORDS)}
SHORTEST = min(map(len, _columns()))
"""Words of a sentence at least."""


def sentences(topics: ndarray, places: ndarray, strength: float, random: Generator) -> ndarray:
    """(N,) topics and (N,) rows of the place that each sentence's document is about -> (N, W) int32 ids, 0: no word.

    strength: of the topics, in [0, 1]; 0 makes all topics alike.
    """
    kinds = random.choice(len(KINDS), len(topics), p=[SHARES[kind.name] for kind in KINDS])
    words = np.zeros((len(topics), max(map(len, _columns()))), np.int32)
    for index, kind in enumerate(KINDS):
        chosen = np.flatnonzero(kinds == index)
        rows = _rows(kind, topics[chosen], strength, random)
        if kind is PLACE:
            rows = np.where(random.random(len(chosen)) < STAYS, places[chosen], rows)
        settings = _settings(kind, rows, topics[chosen], strength, random)
        templates = [tuple(template.split()) for template in TEMPLATES[kind.name]]
        drawn = random.integers(len(templates), size=len(chosen))
        for template, columns in enumerate(templates):
            own = np.flatnonzero(drawn == template)
            filled = _filled(kind, columns, rows[own], settings[own], random)
            words[chosen[own], : len(columns)] = filled
    return words


def _filled(kind: Kind, columns: tuple[str, ...], rows: ndarray, settings: ndarray, random: Generator) -> ndarray:
    """(n,) rows and (n, 2) settings -> (n, columns) ids."""
    forms, found, used = kind.forms, np.zeros((len(rows), len(columns)), np.int32), 0
    for column, text in enumerate(columns):
        if text == f"${kind.name}":
            found[:, column] = settings[:, used]
            used += 1
        elif text[0] == "$":
            found[:, column] = np.array([ID[row[forms.index(text[1:])]] for row in kind.words])[rows]
        else:
            choice = np.array([ID[word] for word in text.split("|")])
            found[:, column] = choice[random.integers(len(choice), size=len(rows))]
    return found


def _likes(kind: Kind) -> ndarray:
    """(topics, R, S): 1 where a setting of a row is one of a topic's."""
    return np.array([[[setting in own for setting in row] for row in kind.settings] for own in TOPICS.values()])


def _rows(kind: Kind, topics: ndarray, strength: float, random: Generator) -> ndarray:
    """(n,) rows, drawn for each sentence's topic."""
    weights = np.exp(BOOST * strength * _likes(kind).any(2))
    upto = (weights / weights.sum(1, keepdims=True)).cumsum(1)[:, :-1]
    return (random.random((len(topics), 1)) > upto[topics]).sum(1)


def _settings(kind: Kind, rows: ndarray, topics: ndarray, strength: float, random: Generator) -> ndarray:
    """(n, 2) ids of two settings of each sentence's row, without repeats, by the Gumbel-max trick."""
    scores = BOOST * strength * _likes(kind)[topics, rows] + random.gumbel(size=(len(rows), 3))
    first = np.argsort(-scores, 1)[:, :2]
    table = np.array([[ID[setting] for setting in row] for row in kind.settings])
    return np.take_along_axis(table[rows], first, 1)
