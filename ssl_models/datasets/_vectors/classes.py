"""Labels of rows, whole numbers or text, as numbers of classes.

Legend: N rows.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import files

MISSING = ("", "nan")
"""Labels, in lower case, of rows that have none."""
NONE = -1


def numbered(labels: ndarray) -> tuple[ndarray, tuple[str, ...]]:
    """(N,) int64, NONE for a row without a label, and the names of the classes, sorted; numbers by their size.

    Labels that are all whole numbers are taken as numbers, also where they are written 1.0.
    Raises ValueError, without the file's name, for numbers that are not whole, fewer than two classes, and where each
    row is a class of its own.
    """
    texts = _texts(labels)
    names, inverse = np.unique(texts, return_inverse=True)
    missing = np.array([name.lower() in MISSING for name in names])
    kept = [str(name) for name in names[~missing]]
    if (values := _values(kept)) is not None:
        order = sorted(set(values))
        classes = tuple(str(value) for value in order)
        places = {name: order.index(value) for name, value in zip(kept, values, strict=True)}
    else:
        classes = tuple(files.printable(name) for name in kept)
        places = {name: index for index, name in enumerate(kept)}
    found = np.array([places.get(str(name), NONE) for name in names], np.int64)[inverse]
    _check(classes, int((found != NONE).sum()))
    return found, classes


def _texts(labels: ndarray) -> ndarray:
    """Each label as text."""
    if labels.dtype.kind == "S":
        return np.char.strip(np.char.decode(labels, "utf-8", "backslashreplace"))
    if labels.dtype.kind == "U":
        return np.char.strip(labels)
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"its labels are of the type {labels.dtype}; they must be whole numbers or text")
    return (labels.astype(np.int8) if labels.dtype.kind == "b" else labels).astype(np.str_)


def _values(names: list[str]) -> list[int] | None:
    """The numbers that these texts are; None where they are no numbers. Raises ValueError for numbers not whole."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return None
    for name, number in zip(names, numbers, strict=True):
        if not number.is_integer():
            raise ValueError(f"its labels hold {name}; they must be whole numbers or text, that is classes")
    return [int(name) if name.lstrip("+-").isdecimal() else int(float(name)) for name in names]


def _check(classes: tuple[str, ...], labelled: int) -> None:
    if len(classes) < 2:
        only = f"one class only, '{classes[0]}'" if classes else "no class"
        raise ValueError(f"its labels tell {only}; at least two are needed, or leave `labels` out")
    if len(classes) == labelled:
        raise ValueError(f"its labels are another one for each of {labelled:,} rows; they must tell classes")
