"""Reads the YAML files that people write: params.yaml, dvc.yaml, sweeps and studies.

A file that cannot be used is refused in one line that says which, where and how to mend it: another encoding, a merge
that is not resolved, a syntax error, a key twice, values that no setting can have (dates, bytes, NaN), nesting and
repetition by aliases that would take the machine down.
"""

from __future__ import annotations

import math
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from tasks.settings.schema import Loader, ParameterError, parse_yaml
from tasks.settings.values import QUOTE, shown

LARGEST = 1_000_000
"""Bytes of a file. So many hold some 20,000 runs; DVC takes minutes to read as much."""
DEEPEST = 50
"""Levels of nesting. The parser in C fails on tens of thousands, and Python on a thousand."""
MOST = 1_000_000
"""Values of a file, those repeated by aliases counted each time: nine aliases of nine aliases are soon a billion."""
CONFLICT = re.compile(r"(?m)^(<{7}|>{7}|\|{7}) ?.*$")


def read(path: Path, name: str) -> Any:
    """The value that a YAML file holds. name: what errors call it, such as "sweeps/seeds.yaml".

    Raises:
        FileNotFoundError: there is no such file.
        ParameterError: the file cannot be read or used.
    """
    return parse(content(path, name), name)


def content(path: Path, name: str) -> bytes:
    """The bytes of a file. Raises as `read`, for what is no file, or too large a one."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise ParameterError(f"{name} is not a file; put one in its place.")
        if state.st_size > LARGEST:
            raise ParameterError(f"{name} has {state.st_size:,} bytes, and the most is {LARGEST:,}: make it smaller.")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ParameterError(f"{name} cannot be read: {error.strerror}. It must be a file that you may read.") from None


def parse(data: bytes, name: str) -> Any:
    """The value of a file's content, each part of which JSON could hold. Raises ParameterError."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParameterError(
            f"{name}, line {line}: byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8, which "
            f"`iconv -f ISO-8859-1 -t UTF-8 {name}` makes of Latin-1."
        ) from None
    _refuse_conflict(text, name)
    try:
        _refuse_depth(text, name)
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{name} is not valid YAML: {in_words(error)}") from None
    _refuse_values(value, name)
    return value


def in_words(error: yaml.YAMLError) -> str:
    """What the parser says, and where, in one line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"line {_line(mark)}, column {mark.column + 1}: " if mark else ""
    said = [getattr(error, "context", None), getattr(error, "problem", None)]
    words = ", ".join(str(part) for part in said if part) or str(error)
    return f"{place}{' '.join(words.split())}."


def _refuse_conflict(text: str, name: str) -> None:
    if found := CONFLICT.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ParameterError(
            f"{name}, line {line}: a merge left its marker '{found[0][:40].strip()}'. Keep the lines that you want and "
            f"remove every line of <<<<<<<, ======= and >>>>>>>, then `git add {name}`; or take one side whole: "
            f"`git checkout --ours {name}`, or --theirs."
        )


def _refuse_depth(text: str, name: str) -> None:
    """Before the text is made into values, which the parser in C does by recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise ParameterError(
                    f"{name}, line {_line(event.start_mark)}: it is nested more than {DEEPEST} levels deep; "
                    "no setting needs that."
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_values(value: Any, name: str) -> None:
    """Refuses what JSON could not hold, at its dotted place."""
    todo: list[tuple[Any, str, int]] = [(value, "", 0)]
    seen = 0
    while todo:
        one, where, depth = todo.pop()
        seen += 1
        if seen > MOST or depth > DEEPEST:
            raise ParameterError(
                f"{name}: its aliases (*NAME) repeat one another to more than {MOST:,} values or {DEEPEST} levels; "
                "write out what is needed."
            )
        if isinstance(one, dict):
            for key, inner in one.items():
                place = f"{where}.{key}" if where else str(key)
                _refuse_key(key, f"{name}: {place[:200]}")
                todo.append((inner, place, depth + 1))
        elif isinstance(one, list):
            todo.extend((inner, where, depth + 1) for inner in one)
        elif wrong := _wrong(one):
            raise ParameterError(f"{name}: {where[:200] or 'the file'} is {shown(one)}, {wrong}.")


def _refuse_key(key: Any, where: str) -> None:
    if isinstance(key, bool):
        raise ParameterError(f"{where}: the key is {key}. {QUOTE}.")
    if key is None or not isinstance(key, str | int | float) or (isinstance(key, float) and not math.isfinite(key)):
        raise ParameterError(f"{where}: the key {shown(key)} is not a name; put it in quotes if it is to be one.")


def _wrong(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return ""
    if isinstance(value, int):
        return "" if abs(value) < 2**63 else "a number that no setting can have"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "which is not a finite number"
    return f"of the type {type(value).__name__}, which no setting has; put it in quotes if it is to be text"


def _line(mark: Any) -> int:
    """The number of a line, from 1, of a mark, which counts from 0."""
    return int(mark.line) + 1
