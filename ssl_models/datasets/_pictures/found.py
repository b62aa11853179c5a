"""What a source of pictures holds before any is opened, whatever its kind: a folder, a list, a table, tars.

The way of a picture: `find` of its kind of source -> Found -> arrangement.py (labels, groups, splits) -> decoding.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl_models.datasets._common.split import LeftOut

Content = Path | bytes | Callable[[], bytes]
"""A file, the bytes of a picture, or what reads them when they are wanted."""


@dataclass(frozen=True)
class Picture:
    """One picture, not opened yet.

    name: unique, relative to the source, with "/" between folders, e.g. "train/cats/1.jpg".
    labels: name of a set of labels -> the class, as the source itself tells it; folders are no labels yet.
    split: "train" or "test" where the source itself says so in another way than by a folder of that name; else "".
    """

    name: str
    content: Content
    labels: Mapping[str, str] = field(default_factory=dict)
    split: str = ""


@dataclass(frozen=True)
class Found:
    """All pictures of a source, in its own fixed order.

    what: what it was taken for, such as "312 folders two deep" or "8 tars". left_out: files that are no pictures or
    that cannot be opened, counted. skipped: a text for each picture that is known to be unreadable, with its name.
    notes: what else its user should know. called: what a table may call a picture besides its name -> that name.
    """

    pictures: Sequence[Picture]
    what: str
    left_out: tuple[LeftOut, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)
