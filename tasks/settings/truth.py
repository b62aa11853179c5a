"""Whether the reader of a target's data knows what its protocol is measured by, as far as their sources tell.

A protocol says what it needs (NEEDS). A reader that gives boxes has the word "boxes" somewhere, as a key of
`Split.truth`; one that has it nowhere, nor in what it imports, cannot give any.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.settings.schema import ParameterError, constant, imported, modules, source

KINDS = ("boxes", "points", "normals")
"""The annotations of ssl_models/datasets/_common/split.py that no protocol can do without."""
PLAIN = "ssl_models/datasets/_common/"
"""What readers of every kind share: it says nothing of one reader."""


def check_truth(code: Path, protocol: str, data: Mapping[str, Any], where: str) -> None:
    """Raises ParameterError for data that cannot have what the protocol needs. code: the folder ssl_models."""
    needs = constant(code / "protocols" / f"{protocol}.py", "NEEDS")
    for kind in KINDS:
        if kind in ast.literal_eval(needs or "()") and not gives(code, data["reader"], kind):
            others = [name for name in modules(code / "datasets", "\ndef load(") if gives(code, name, kind)]
            raise ParameterError(
                f"{where}: the protocol '{protocol}' needs {kind}, and the reader '{data['reader']}' gives none. "
                f"Readers that do: {', '.join(sorted(others)) or 'none'}."
            )


def gives(code: Path, reader: str, kind: str) -> bool:
    """Whether a reader can give annotations of a kind, as far as the sources tell. code: the folder ssl_models."""
    word = re.compile(rf"""["']{kind}["']|\b{kind}=""")
    return any(word.search(source(path)) for path in _files(code, code / "datasets" / f"{reader}.py"))


def _files(code: Path, first: Path) -> Iterator[Path]:
    """A reader's file and every one that it imports, directly or not."""
    todo, seen = [first], {first}
    while todo:
        path = todo.pop()
        yield path
        for name in imported(path):
            other = code.parent / f"{name.replace('.', '/')}.py"
            if other not in seen and not other.is_relative_to(code.parent / PLAIN) and other.is_file():
                seen.add(other)
                todo.append(other)
