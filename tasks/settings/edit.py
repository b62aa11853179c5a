"""Changes the lines `data:`, `<<:`, `runs:` and `protocols:` of params.yaml, as options of the command line ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import yaml

from tasks.process.files import whole_file
from tasks.selection import scope
from tasks.selection.scope import Axis
from tasks.settings import data_kinds, own_data, own_lines, sets, yaml_files
from tasks.settings.params import check_parameters, read
from tasks.settings.schema import ParameterError, check_names, parse_yaml
from tasks.settings.values import is_name, plain

Occupied = Callable[[str], bool]
NO_OPTIONS = own_data.Options()


class Further(TypedDict, total=False):
    """What `selecting` and `proposed` take by name."""

    occupied: Occupied
    options: own_data.Options


def _nothing(_name: str) -> bool:
    return False


def select_data(
    root: Path, wanted: str | None, occupied: Occupied = _nothing, options: own_data.Options = NO_OPTIONS
) -> str:
    """Selects a data set of params.yaml, or a folder or file of one's own, for the pipeline; returns its name.

    As `with_data`, whose text is written.
    """
    path = root / "params.yaml"
    read(root)  # says what is wrong with the file
    before = path.read_text()
    name, text = with_data(root, before, wanted, occupied, options)
    _write(path, before, text)
    return name


def with_data(
    root: Path, before: str, wanted: str | None, occupied: Occupied = _nothing, options: own_data.Options = NO_OPTIONS
) -> tuple[str, str]:
    """The name of a selected data set, and the text of params.yaml that selects it.

    wanted: None for the one that is selected. options: settings that its block gets, on its line.

    The line `data: *name` changes, and where the data are of another kind also `<<: *of_kind`, and a selection of runs
    or protocols that this kind does not have, which is told. For a folder without a block, one is added under
    `datasets`. The rest of the file and its comments stay the same. occupied: whether a name's outputs would lie on
    files of somebody else.
    """
    content = yaml_files.parse(before.encode(), "params.yaml")
    datasets: Any = content.get("datasets")
    check_names(datasets, "datasets")
    settings = options.settings(root)
    name, text = _selected(content) if wanted is None else wanted, before
    asked = f"--data {plain(name)}"
    if name not in datasets:
        name, text = _add_own(root, text, datasets, own_data.found(name, datasets), options, occupied)
    elif options.sound:
        raise ParameterError(f"--sound goes with the folder of a new data set, as in --data FOLDER; {name} is known.")
    if options.size is not None:
        settings |= own_data.store_of(root, parse_yaml(text)["datasets"][name], options.size)
    if settings:
        text = own_lines.with_settings(text, "datasets", name, settings)
    text = _with_line(text, "data", f"*{name}", asked)
    text = _with_kind(text, parse_yaml(text)["datasets"][name], asked)
    content = yaml_files.parse(text.encode(), "params.yaml")
    if content["data"] != content["datasets"][name]:
        raise ParameterError(f"{asked}: the anchor &{name} must stand at the block datasets.{name}.")
    if text != before:
        check_parameters(content, root)
    return name, text


def _write(path: Path, before: str, text: str) -> None:
    if text != before:
        with whole_file(path) as temporary:
            temporary.write_text(text)


def _selected(parameters: Mapping[str, Any]) -> str:
    """The name of the data set that is selected."""
    data = parameters.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ParameterError("params.yaml: `data` must be one of datasets, as in `data: *world`.")
    return str(data["name"])


def _with_kind(text: str, block: Mapping[str, Any], asked: str) -> str:
    """The text with the blocks of the data set's kind merged in, and with selections that this kind has."""
    content, kind = parse_yaml(text), data_kinds.of_block(block)
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
    read(root)  # says what is wrong with the file
    before = path.read_text()
    _write(path, before, with_set(before, axis, wanted))


def with_set(text: str, axis: Axis, wanted: str) -> str:
    """The text of params.yaml that selects a set, or `all`."""
    sets.check_sets({**yaml_files.parse(text.encode(), "params.yaml"), axis.line: wanted})
    return _with_line(text, axis.line, wanted if is_name(wanted) else json.dumps(wanted), f"--{axis.line} {wanted}")


def proposed(
    root: Path,
    data: str | None,
    runs: str | None = None,
    protocols: str | None = None,
    *,
    occupied: Occupied = _nothing,
    options: own_data.Options = NO_OPTIONS,
) -> tuple[str | None, dict[str, Any]]:
    """What `selecting` would yield, and what params.yaml would then hold; nothing is written."""
    read(root)  # says what is wrong with the file
    name, text = None, (root / "params.yaml").read_text()
    if data is not None or options != NO_OPTIONS:
        name, text = with_data(root, text, data, occupied, options)
    for axis, wanted in ((scope.RUNS, runs), (scope.PROTOCOLS, protocols)):
        text = text if wanted is None else with_set(text, axis, wanted)
    content: dict[str, Any] = yaml_files.parse(text.encode(), "params.yaml")
    return name, content


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
    options: own_data.Options = NO_OPTIONS,
) -> Iterator[str | None]:
    """Applies `select` and `select_data`; yields the data set's name, or None if neither it nor an option is given.

    If the block raises ParameterError, params.yaml is restored.
    """
    path = root / "params.yaml"
    wanted = {scope.RUNS: runs, scope.PROTOCOLS: protocols}
    chosen = data is not None or options != NO_OPTIONS
    asked = chosen or any(name is not None for name in wanted.values())
    before = path.read_bytes() if asked and path.is_file() else b""
    try:
        selected = select_data(root, data, occupied, options) if chosen else None
        for axis, name in wanted.items():
            if name is not None:
                select(root, axis, name)
        yield selected
    except ParameterError:
        if before:
            with whole_file(path) as temporary:
                temporary.write_bytes(before)
        raise


def _add_own(
    root: Path, text: str, datasets: Mapping[str, Any], own: Path, options: own_data.Options, occupied: Occupied
) -> tuple[str, str]:
    """The name of the block that reads the folder or file `own`, and the text of params.yaml with that block.

    options: of the command line.
    """
    source = own_data.relative(root, own)
    for name, known in datasets.items():
        if known.get("source") == source and (known.get("reader") == own_data.WITH_SOUND) == options.sound:
            return name, text
    reader = own_data.reader(own, source, options.sound)
    name = own_data.new_name(own, lambda name: name in datasets or occupied(name))
    block: dict[str, Any] = {"name": name, "reader": reader, "source": source}
    block |= own_data.suiting_size(root, block, options.size)
    block |= own_data.suiting_kind(root, block, parse_yaml(text).get(data_kinds.KINDS) or ())
    written = yaml.safe_dump(block, default_flow_style=True, width=10**6, sort_keys=False).strip()
    return name, _with_entry(text, "datasets", f"  {name}: &{name} {written}")


def _with_entry(text: str, block: str, entry: str) -> str:
    """The text with one more line at the end of a block at the top level."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if re.match(rf"{block}:", line))
    after = (number for number, line in enumerate(lines) if number > start and re.match(r"[^\s#]", line))
    end = next(after, len(lines))
    while not lines[end - 1].startswith(" "):  # blank lines, and comments on what comes next
        end -= 1
    return "\n".join([*lines[:end], entry, *lines[end:], ""])
