"""dvc.lock by single entries: a stage's lines are found, read and replaced, and all other lines stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.process.files import whole_file

HEAD = "schema: '2.0'\nstages:\n"
ENTRY = re.compile(r"(?m)^  (?! )(?P<name>[^\n]+?):[ \t]*\n(?P<body>(?:   [^\n]*\n|\n)*)")
"""An entry: two spaces and the stage's name, then lines that stand further in."""
WHOLE = re.compile(r"\Aschema: '2\.0'\nstages:\n(?:  [^\n]*\n|\n)*\Z")


class OddLockFile(RuntimeError):
    """dvc.lock is not in the form that DVC writes; the text says so. DVC's own commands may still read it."""


def read(path: Path, names: Collection[str]) -> dict[str, str]:
    """Stage -> its entry, a YAML mapping of one key, for those of the stages that the file has. Raises OddLockFile."""
    if not path.exists():
        return {}
    found = _entries(_text(path))
    return {name: f"{name}:\n{found[name]}" for name in names if name in found}


def entry_texts(path: Path) -> dict[str, str]:
    """Every stage -> the text of its entry. Raises OddLockFile."""
    return _entries(_text(path)) if path.exists() else {}


def write(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Puts a stage's entry into the file, which is replaced whole. The caller holds DVC's lock. Raises OddLockFile."""
    text = _text(path) if path.exists() else HEAD
    new = _as_yaml(name, entry)
    for match in ENTRY.finditer(text):
        if match["name"] == name:
            if match.group() == new:
                return
            text = text[: match.start()] + new + text[match.end() :]
            break
    else:
        text += new
    with whole_file(path) as temporary:
        temporary.write_text(text)


def remove(path: Path, name: str) -> None:
    """Takes a stage's entry out; the file goes with the last one. The caller holds DVC's lock. Raises OddLockFile."""
    text = _text(path) if path.exists() else HEAD
    match = next((match for match in ENTRY.finditer(text) if match["name"] == name), None)
    if match is None:
        return
    left = text[: match.start()] + text[match.end() :]
    if left == HEAD:  # DVC refuses a file without an entry
        path.unlink()
        return
    with whole_file(path) as temporary:
        temporary.write_text(left)


def _text(path: Path) -> str:
    text = path.read_text()
    if not WHOLE.match(text):
        raise OddLockFile(f"{path} is not in the form that DVC writes: schema 2.0 and one mapping of stages")
    return text


def _entries(text: str) -> dict[str, str]:
    return {match["name"]: match["body"] for match in ENTRY.finditer(text)}


def _as_yaml(name: str, entry: Mapping[str, Any]) -> str:
    """The entry as DVC's own writer has it below `stages`, with no anchors: DVC refuses one that is used twice."""
    from dvc.utils.serialize import dumps_yaml

    return str(dumps_yaml({"stages": {name: _plain(entry)}})).removeprefix("stages:\n")


def _plain(content: Any) -> Any:
    """The same in dicts and lists of its own, so that nothing is one object in two places."""
    return json.loads(json.dumps(content))
