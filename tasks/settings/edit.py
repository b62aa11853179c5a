"""Changes the lines `data:`, `runs:` and `protocols:` of params.yaml, as options of the command line ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tasks.process.files import whole_file
from tasks.selection import scope
from tasks.selection.scope import Axis
from tasks.settings import sets
from tasks.settings.params import check_parameters
from tasks.settings.schema import ParameterError, parse_yaml

Occupied = Callable[[str], bool]


def _nothing(_name: str) -> bool:
    return False


def select_data(root: Path, wanted: str, occupied: Occupied = _nothing) -> str:
    """Selects a data set of params.yaml, or a folder of images, for the pipeline; returns its name.

    Only the line `data: *name` changes; for a folder without a block, one is added under `datasets`. The rest of the
    file and its comments stay the same. occupied: whether a name's outputs would lie on files of somebody else.
    """
    path = root / "params.yaml"
    text = path.read_text()
    datasets = (parse_yaml(text) or {}).get("datasets") or {}
    name = wanted
    if wanted not in datasets:
        folder = Path(wanted).expanduser()
        if not folder.is_dir():
            raise ParameterError(
                f"--data {wanted}: this is neither a data set of params.yaml ({', '.join(datasets)}) nor a folder."
            )
        name, text = _add_folder(root, text, datasets, folder.resolve(), occupied)
    text, changed = re.subn(r"(?m)^data:[ \t]*[^\s#]*", f"data: *{name}", text)
    if changed != 1:
        raise ParameterError("params.yaml needs exactly one line that starts with `data:`, as in `data: *world`.")
    if text != path.read_text():
        try:
            check_parameters(parse_yaml(text), root)
        except yaml.YAMLError as error:
            raise ParameterError(f"--data {wanted}: params.yaml would no longer be valid YAML: {error}") from None
        with whole_file(path) as temporary:
            temporary.write_text(text)
    return name


def select(root: Path, axis: Axis, wanted: str) -> None:
    """Selects a set of params.yaml, or `all`, for the pipeline: changes the line `runs: NAME` or `protocols: NAME`."""
    path = root / "params.yaml"
    text, changed = re.subn(rf"(?m)^{axis.line}:[ \t]*[^\s#]*", f"{axis.line}: {wanted}", path.read_text())
    if changed != 1:
        raise ParameterError(f"params.yaml needs exactly one line that starts with `{axis.line}:`.")
    sets.check_sets(parse_yaml(text))
    if text != path.read_text():
        with whole_file(path) as temporary:
            temporary.write_text(text)


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
    before = path.read_text() if asked and path.exists() else ""
    try:
        for axis, name in wanted.items():
            if name is not None:
                select(root, axis, name)
        yield None if data is None else select_data(root, data, occupied)
    except ParameterError:
        if before:
            with whole_file(path) as temporary:
                temporary.write_text(before)
        raise


def _add_folder(
    root: Path, text: str, datasets: Mapping[str, Any], folder: Path, occupied: Occupied
) -> tuple[str, str]:
    """The name of the block that reads `folder`, and the text of params.yaml with that block."""
    source = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.as_posix()
    for name, block in datasets.items():
        if block.get("reader") == "folder" and block.get("source") == source:
            return name, text
    stem = re.sub(r"\W+", "_", folder.name.lower(), flags=re.ASCII).strip("_") or "images"
    stem = stem if stem[0].isalpha() else f"images_{stem}"
    name, number = stem, 2
    while name in datasets or occupied(name):
        name, number = f"{stem}_{number}", number + 1
    block = yaml.safe_dump({"name": name, "reader": "folder", "source": source}, default_flow_style=True, width=10**6)
    line = f"  {name}: &{name} {block.strip()}\n"
    return name, re.sub(r"(?m)^data:", lambda match: f"{line}{match.group()}", text, count=1)
