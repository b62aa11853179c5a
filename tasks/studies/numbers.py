"""The numbers of a study's figure, published and ours, as series of one form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.settings.schema import ParameterError


class Value(NamedTuple):
    """A number with its interval's ends, which are None where it was published or where there is one seed."""

    mean: float
    low: float | None = None
    high: float | None = None


Line = Mapping[str, Value]
"""Place on the axis, or run -> value; "" for a number that has no place."""
Series = Mapping[str, Line]


def of_published(numbers: Mapping[str, Any], study: str) -> Series:
    """{LABEL: NUMBER or {X: NUMBER} or [NUMBERS]} as series; a list's places are 1, 2, ...; null is not published."""
    found: dict[str, Line] = {}
    for name, content in numbers.items():
        if isinstance(content, list):
            content = dict(enumerate(content, start=1))
        entries = content.items() if isinstance(content, Mapping) else [("", content)]
        for _, number in entries:
            if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
                raise ParameterError(
                    f"study {study}: published: numbers: {name} holds {number!r}; it must be a number, a list of "
                    "numbers or a mapping from places to numbers."
                )
        found[str(name)] = {str(place): Value(float(number)) for place, number in entries if number is not None}
    return found


def of_ours(content: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Series:
    """An outcome's own numbers as series, by the measures' names in words; what is no number is left out."""
    return {
        label(name): {place: Value(mean, low, high) for place, (mean, low, high) in line.items() if mean is not None}
        for name, line in content.items()
    }


def are_bars(series: Series) -> bool:
    """Whether no number has a place."""
    return all(set(line) <= {""} for line in series.values())


def label(name: str) -> str:
    """A name in words."""
    return name.replace("_", " ").strip()


def colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label; those that differ in case, blanks and signs alone have the same."""
    from ssl_models.figures import PALETTE  # and numpy with it, which the command line waits for

    keys = {name: re.sub(r"[\W_]+", " ", name).strip().casefold() or name for name in labels}
    order = list(dict.fromkeys(keys.values()))
    return {name: PALETTE[order.index(key) % len(PALETTE)] for name, key in keys.items()}


def shares(lines: Iterable[Line]) -> bool:
    """Whether all values lie in [-1, 1]."""
    return all(abs(value.mean) <= 1 for line in lines for value in line.values())


def in_per_cent(series: Series) -> Series:
    """The same, times 100."""
    return {
        name: {
            place: Value(*(None if end is None else 100 * end for end in value))  # type: ignore[arg-type]
            for place, value in line.items()
        }
        for name, line in series.items()
    }
