"""What a value of a setting may be: its type, its bounds, its name. All that people write is held to this one place:
params.yaml, a sweep's grid, base, seeds and search, a study, a schedule, and the options of the command line.

The bounds only refuse what can never work, or would end in the machine's memory or a library's integers. What a method,
a reader or a protocol needs beyond that it says itself, before anything starts (tasks/checks/dry_run.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""A name of a run, a protocol, a data set or a sweep: names are used in paths and commands."""
LONGEST_NAME = 100
"""Two names and a command make the name of a file, for which 255 bytes are the most."""

SEED = (0, 2**32 - 1)
MANY = 100_000_000
WHOLE: dict[str, tuple[int, int]] = {
    "seed": SEED,
    **dict.fromkeys(("threads", "processes", "jobs"), (1, 1024)),
    "epochs": (1, 1_000_000),
    "batch_size": (1, 10_000_000),
    "chunk": (0, 10_000_000),
    **dict.fromkeys(("train", "test", "samples", "neighbours", "steps"), (1, MANY)),
    **dict.fromkeys(("size", "width", "hidden", "projection"), (1, 100_000)),
    **dict.fromkeys(("decoder_width", "discriminator_width"), (1, 100_000)),
    **dict.fromkeys(("depth", "iterations"), (1, 1_000_000)),
    **dict.fromkeys(("stem_stride", "stride", "tile", "grid", "folds", "draws", "redo", "levels"), (1, 10_000)),
    "clusters": (2, 10_000_000),
    "components": (0, 1_000_000),
    "negatives": (0, MANY),
    "trials": (1, 100_000),
    "retries": (0, 1000),
}
"""The lowest and the highest whole number under a name. A name that ends with `_seed` is bounded as `seed`."""
REAL: dict[str, tuple[float, float]] = {
    "learning_rate": (0, 10_000),
    "weight_decay": (0, 10_000),
    "warmup_epochs": (0, 1_000_000),
    "temperature": (0, 1e6),
    "momentum": (0, 1),
    "decay": (0, 1),
    "label_smoothing": (0, 1),
    "test_fraction": (0, 1),
    "retry_delay": (0, 7 * 86400),
    "timeout": (0, 366 * 86400),
    "weight": (0, 1e9),
}
"""The same for numbers of any kind."""
WORDS = dict.fromkeys(("batch_size", "channels_last", "compile"), ("auto",))
"""The words that a setting may have which takes numbers, or true and false, otherwise."""
ABOVE_ZERO = frozenset(("learning_rate", "temperature", "timeout", "decay"))
MEMORY = 10**12
"""Bytes of all pictures of a data set, which lie in memory while they are made."""
LARGEST = 10**15
"""The largest size of a number that has no bounds of its own. Floats hold every whole number up to there."""
QUOTE = "YAML reads on, off, yes and no as true or false; put the word in quotes"


def shown(value: Any) -> str:
    """A value as an error shows it: on one line, and cut where it is long."""
    try:
        text = str(value) if isinstance(value, date) else repr(_short(value))
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        text = "a value that cannot be shown"
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"


def plain(text: str) -> str:
    """A word of the command line as an error repeats it: as it is, unless it would not be seen or break the line."""
    return text if text.strip() and text.isprintable() and len(text) <= LONGEST_NAME else shown(text)


def problem(name: str, value: Any, annotation: str) -> str:
    """What is wrong with the value of a setting, to be read after the setting's place; empty where nothing is.

    annotation: as the code says it, such as `int | None` or `list[float]`; one of any other kind accepts all values.
    """
    if not fits(value, annotation):
        hint = f" {QUOTE}." if isinstance(value, bool) and "str" in annotation else ""
        return f": {shown(value)} is not of type {annotation}.{hint}"
    if isinstance(value, str) and value not in WORDS.get(name, (value,)):
        others = " | ".join(part for part in annotation.split(" | ") if part != "str")
        return f": {shown(value)} is not of type {others}, nor the word '{' or '.join(WORDS[name])}'."
    if isinstance(value, list):
        return next((f": its entry{wrong}" for one in value if (wrong := number_problem("", one))), "")
    return number_problem(name, value, whole="float" not in annotation)


def fits(value: Any, annotation: str) -> bool:
    """Whether a value from YAML has the annotated type. true and false are no numbers."""
    return all_fit([value], annotation)


def all_fit(values: list[Any], annotation: str) -> bool:
    """The same for several values: the annotation is read once."""
    allowed: list[type] = []
    inside = ""
    for part in annotation.split("|"):
        name, _, rest = part.strip().partition("[")
        if name == "None":
            allowed.append(type(None))
        elif name in TYPES:
            allowed.extend(TYPES[name])
            inside = rest.removesuffix("]") if name == "list" else inside
        else:
            return True
    kinds, bools = tuple(allowed), bool in allowed
    if not all(isinstance(value, kinds) and (bools or not isinstance(value, bool)) for value in values):
        return False
    return not inside or all(all_fit(value, inside) for value in values if isinstance(value, list))


def number_problem(name: str, value: Any, *, whole: bool = True) -> str:
    """What is wrong with a number; empty for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return f" is {value}; it must be a finite number."
    low, high = _bounds(name, whole)
    if name in ABOVE_ZERO and value <= 0:
        return f" is {shown(value)}; it must be above 0."
    if value < low:
        return f" is {shown(value)}; it must be at least {low:,.15g}."
    if value > high:
        return f" is {shown(value)}; it must be at most {high:,.15g}."
    return ""


def _bounds(name: str, whole: bool) -> tuple[float, float]:
    if name in REAL:
        return REAL[name]
    if whole and name.endswith("_seed"):
        return SEED
    return WHOLE.get(name, (-LARGEST, LARGEST)) if whole else (-LARGEST, LARGEST)


def picture_problem(block: Mapping[str, Any]) -> str:
    """What is wrong with the number of samples and their size together; empty where nothing is, or they are unknown."""
    counts = [block[name] for name in ("train", "test") if isinstance(block.get(name), int)]
    size = block.get("size", 1)
    if isinstance(size, int) and (taken := 3 * sum(counts) * size * size) > MEMORY:
        return f"{sum(counts):,} samples of {size:,} pixels a side take {taken / 1e12:,.1f} TB; the most is 1 TB."
    return ""


def is_name(value: Any) -> bool:
    """Whether this can be the name of a run, a protocol, a data set, a schedule or a sweep."""
    return isinstance(value, str) and len(value) <= LONGEST_NAME and bool(NAME.fullmatch(value))


def _short(value: Any) -> Any:
    """The first entries of a list or mapping: enough to recognise it by."""
    if isinstance(value, list):
        return value[:20]
    if isinstance(value, dict):
        return dict(list(value.items())[:20])
    return value
