"""Changes the lines `data:`, `<<:`, `runs:` and `protocols:` of params.yaml, as options of the command line ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tasks.process.files import whole_file
from tasks.selection import scope
from tasks.selection.scope import Axis
from tasks.settings import data_kinds, sets, yaml_files
from tasks.settings.params import check_parameters, read
from tasks.settings.schema import ParameterError, check_names, parse_yaml
from tasks.settings.values import is_name, plain

Occupied = Callable[[str], bool]


def _nothing(_name: str) -> bool:
    return False


def select_data(root: Path, wanted: str, occupied: Occupied = _nothing) -> str:
    """Selects a data set of params.yaml, or a folder or file of one's own, for the pipeline; returns its name.

    The line `data: *name` changes, and where the data are of another kind also `<<: *of_kind`, and a selection of runs
    or protocols that this kind does not have, which is told. For a folder without a block, one is added under
    `datasets`. The rest of the file and its comments stay the same. occupied: whether a name's outputs would lie on
    files of somebody else.
    """
    path = root / "params.yaml"
    datasets: Any = read(root).get("datasets")
    check_names(datasets, "datasets")
    text, name = path.read_text(), wanted
    if wanted not in datasets:
        name, text = _add_own(root, text, datasets, _own(wanted, datasets), occupied)
    asked = f"--data {plain(wanted)}"
    text = _with_line(text, "data", f"*{name}", asked)
    text = _with_kind(text, parse_yaml(text)["datasets"][name]["reader"], asked)
    content = yaml_files.parse(text.encode(), "params.yaml")
    if content["data"] != content["datasets"][name]:
        raise ParameterError(f"--data {plain(wanted)}: the anchor &{name} must stand at the block datasets.{name}.")
    if text != path.read_text():
        check_parameters(content, root)
        with whole_file(path) as temporary:
            temporary.write_text(text)
    return name


def _own(wanted: str, datasets: Mapping[str, Any]) -> Path:
    """The folder or file that `--data` names; whatever the text holds, it is only looked for."""
    with suppress(OSError, RuntimeError, ValueError):  # too long a name, no such user's home, a NUL
        if wanted.strip() and ((own := Path(wanted).expanduser()).is_dir() or own.is_file()):
            return own.resolve()
    raise ParameterError(
        f"--data {plain(wanted)}: this is neither a data set of params.yaml ({', '.join(datasets)}) nor a folder or a "
        "file."
    )


def _with_kind(text: str, reader: str, asked: str) -> str:
    """The text with the blocks of the reader's kind merged in, and with selections that this kind has."""
    content, kind = parse_yaml(text), data_kinds.of_reader(reader)
    if content.get(data_kinds.KINDS) is None or kind == data_kinds.active(content):
        return text
    text = _with_line(text, "<<", f"*of_{kind}", asked)
    content = parse_yaml(text)
    for axis in scope.AXES:
        sets_of_kind: Mapping[str, Any] = content.get(axis.sets) or {}
        if (selection := content.get(axis.line, scope.ALL)) not in (scope.ALL, *sets_of_kind):
            other = next(iter(sets_of_kind), scope.ALL)
            text = _with_line(text, axis.line, other, asked)
            print(f"{axis.line}: '{selection}' is no set of {kind}; '{other}' is selected.")
    return text


def select(root: Path, axis: Axis, wanted: str) -> None:
    """Selects a set of params.yaml, or `all`, for the pipeline: changes the line `runs: NAME` or `protocols: NAME`."""
    path = root / "params.yaml"
    content = read(root)
    sets.check_sets({**content, axis.line: wanted})
    before = path.read_text()
    text = _with_line(before, axis.line, wanted if is_name(wanted) else json.dumps(wanted), f"--{axis.line} {wanted}")
    if text != before:
        with whole_file(path) as temporary:
            temporary.write_text(text)


def _with_line(text: str, name: str, value: str, asked: str) -> str:
    """The text with another value on its one line `NAME: VALUE`. Refuses a text in which that changes anything else."""
    pattern = rf"""(?m)^{re.escape(name)}:[ \t]*("[^"\n]*"|'[^'\n]*'|[^\s#]*)"""
    changed, count = re.subn(pattern, lambda _: f"{name}: {value}", text)
    if count != 1:
        raise ParameterError(f"params.yaml needs exactly one line that starts with `{name}:`, as in `{name}: {value}`.")
    try:
        after = parse_yaml(changed)
    except yaml.YAMLError as error:
        raise ParameterError(
            f"{asked}: with the line `{name}: {value}` params.yaml would not be valid YAML: "
            f"{yaml_files.in_words(error)} Write that line yourself."
        ) from None
    if not isinstance(after, dict):
        raise ParameterError(f"{asked}: params.yaml must be a mapping of blocks.")
    return changed


@contextmanager
def selecting(
    root: Path,
    data: str | None,
    runs: str | None = None,
    protocols: str | None = None,
    *,
    occupied: Occupied = _nothing,
) -> Iterator[str | None]:
    """Applies `select` and `select_data`; yields the data set's name, or None if `data` is None.

    If the block raises ParameterError, params.yaml is restored.
    """
    path = root / "params.yaml"
    wanted = {scope.RUNS: runs, scope.PROTOCOLS: protocols}
    asked = data is not None or any(name is not None for name in wanted.values())
    before = path.read_bytes() if asked and path.is_file() else b""
    try:
        selected = None if data is None else select_data(root, data, occupied)
        for axis, name in wanted.items():
            if name is not None:
                select(root, axis, name)
        yield selected
    except ParameterError:
        if before:
            with whole_file(path) as temporary:
                temporary.write_bytes(before)
        raise


def _add_own(root: Path, text: str, datasets: Mapping[str, Any], own: Path, occupied: Occupied) -> tuple[str, str]:
    """The name of the block that reads the folder or file `own`, and the text of params.yaml with that block."""
    from tasks.settings import recognised  # and numpy with it

    source = own.relative_to(root).as_posix() if own.is_relative_to(root) else own.as_posix()
    if (reader := recognised.reader_of(own)) is None:
        raise ParameterError(
            f"--data {plain(source)}: no reader reads such a file; name a folder of pictures or sounds, or a text "
            "(.txt, .txt.gz)."
        )
    for name, block in datasets.items():
        if block.get("reader") == reader and block.get("source") == source:
            return name, text
    bare = own.name.lower() if own.is_dir() else own.name.lower().partition(".")[0]
    stem = re.sub(r"\W+", "_", bare, flags=re.ASCII).strip("_") or "images"
    stem = stem if stem[0].isalpha() else f"images_{stem}"
    name, number = stem, 2
    while name in datasets or occupied(name):
        name, number = f"{stem}_{number}", number + 1
    block = yaml.safe_dump({"name": name, "reader": reader, "source": source}, default_flow_style=True, width=10**6)
    return name, _with_entry(text, "datasets", f"  {name}: &{name} {block.strip()}")


def _with_entry(text: str, block: str, entry: str) -> str:
    """The text with one more line at the end of a block at the top level."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if re.match(rf"{block}:", line))
    after = (number for number, line in enumerate(lines) if number > start and re.match(r"[^\s#]", line))
    end = next(after, len(lines))
    while not lines[end - 1].startswith(" "):  # blank lines, and comments on what comes next
        end -= 1
    return "\n".join([*lines[:end], entry, *lines[end:], ""])
