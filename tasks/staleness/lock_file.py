"""dvc.lock by single entries: a stage's lines are found, read and replaced, and all other lines stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.process.files import whole_file
from tasks.settings.schema import ParameterError

HEAD = "schema: '2.0'\nstages:\n"
ENTRY = re.compile(r"(?m)^  (?! )(?P<name>[^\n]+?):[ \t]*\n(?P<body>(?:   [^\n]*\n|\n)*)")
"""An entry: two spaces and the stage's name, then lines that stand further in."""
CUT = re.compile(r"\n    (?:deps|params|outs):\n\Z")
"""The end of a file that was cut short between two lines: a block of an entry with nothing in it."""
UNMERGED = re.compile(r"(?m)^(?:<<<<<<<|=======|>>>>>>>)[^\n]*")
WHOLE = re.compile(r"\Aschema: '2\.0'\nstages:\n(?:  [^\n]*\n|\n)*\Z")


class OddLockFile(RuntimeError):
    """dvc.lock is not in the form that DVC writes; the text says so. DVC's own commands may still read it."""


class UnmergedLockFile(ParameterError):
    """dvc.lock holds the marks of a merge that nobody has resolved; the text says where, and the way out."""


def read(path: Path, names: Collection[str]) -> dict[str, str]:
    """Stage -> its entry, a YAML mapping of one key, for those of the stages that the file has. Raises OddLockFile.

    As all of these, it raises UnmergedLockFile too.
    """
    if not path.exists():
        return {}
    found = _entries(_text(path))
    return {name: f"{name}:\n{found[name]}" for name in names if name in found}


def entry_texts(path: Path) -> dict[str, str]:
    """Every stage -> the text of its entry. Raises OddLockFile."""
    return _entries(_text(path)) if path.exists() else {}


def require_form(path: Path) -> None:
    """Refuses a file that no stage could be recorded in. Raises ParameterError."""
    try:
        entry_texts(path)
    except OddLockFile as error:
        raise ParameterError(str(error)) from None


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
    if mark := UNMERGED.search(text):
        raise UnmergedLockFile(
            f"{path}, line {text.count(chr(10), 0, mark.start()) + 1}: a merge is not resolved here ({mark.group()}). "
            f"Take one side, `git checkout --ours {path.name}` or `git checkout --theirs {path.name}`, then run "
            "`covey run`: the cache holds what it had computed."
        )
    if not WHOLE.match(text) or CUT.search(text):
        raise OddLockFile(
            f"{path} is not in the form that DVC writes, schema 2.0 and one mapping of stages: it was cut short or "
            f"edited. `git checkout {path.name}` takes back the committed one; the cache holds what it had computed."
        )
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
