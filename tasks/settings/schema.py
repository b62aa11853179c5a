"""The keyword settings that a piece of code takes, read from its source without importing it.

The signature of a constructor is the schema of its block in params.yaml. Reading it from the syntax tree takes
milliseconds; importing the module would import torch.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from tasks.process.faults import of_source
from tasks.settings.values import LONGEST_NAME, QUOTE, fits, is_name, problem, shown

CODE = Path(__file__).resolve().parents[2] / "ssl_models"
"""The folder of methods, readers and protocols. Schemas are read from the code that runs, not from the project's."""
MOST_KEYS = 100_000
MOST_NAMED = 60
"""So many of the known names are listed by an error."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2 for floats: PyYAML follows version 1.1 and reads 1e-05, as DVC writes it, as a string.

    A key that stands twice is an error, as it is to DVC; so is a value that PyYAML itself ends in a ValueError at.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.looked_at: set[int] = set()

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, AttributeError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"{shown(node.value)} is not of type {kind}", node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Puts in the keys that a mapping takes over (`<<: *other`), once its own have been looked at."""
        if id(node) not in self.looked_at:
            self.looked_at.add(id(node))  # the tree of nodes is kept until all is made
            _refuse_twice(node)
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:
            raise ConstructorError(None, None, f"a mapping has more than {MOST_KEYS:,} keys", node.start_mark)


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
            if (key.tag, key.value) in seen:
                raise ConstructorError(None, None, f"the key {shown(key.value)} stands twice", key.start_mark)
            seen.add((key.tag, key.value))


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """The content of a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=Loader)


class ParameterError(ValueError):
    """Something in params.yaml cannot be used; the message says what, where, and what is allowed."""


@dataclass(frozen=True)
class Field:
    """One keyword setting: its annotation as written in the source, and whether it is required."""

    annotation: str
    required: bool

    def accepts(self, value: Any) -> bool:
        """Whether a value from YAML has the annotated type. An annotation of any other kind accepts all values."""
        return fits(value, self.annotation)


def keywords(path: Path, name: str) -> dict[str, Field]:
    """The keyword-only settings of the function, class or dataclass `name` in the file `path`."""
    _tree(path)
    found = _keywords(source(path), name)
    if found is None:
        raise ParameterError(f"{path} has no function or class '{name}'")
    return dict(found)


def offered(path: Path, name: str) -> str:
    """The class that a module assigns to an upper-case name: `METHOD = Rotation` -> "Rotation"."""
    for node in _tree(path).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    return node.value.id
    raise ParameterError(f"{path} must end with '{name} = <its class>'")


def constant(path: Path, name: str) -> str | None:
    """What stands right of an assignment at a module's top, as text; None where there is none."""
    for node in _tree(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return ast.unparse(node.value)
    return None


def imported(path: Path) -> list[str]:
    """The dotted names of modules, or of what is in them, that a module imports, at its top or in functions."""
    found: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def modules(folder: Path, mark: str) -> list[str]:
    """The names of the modules in a folder whose text holds `mark`, such as "\\ndef evaluate("."""
    return [path.stem for path in folder.glob("*.py") if mark in source(path)]


def source(path: Path) -> str:
    """A source's text, read again only when the file has changed: a large params.yaml asks thousands of times."""
    state = path.stat()
    try:
        return _read(path, state.st_mtime_ns, state.st_ctime_ns, state.st_size)
    except UnicodeDecodeError as error:
        raise ParameterError(of_source(path, error)) from None


@lru_cache(maxsize=512)
def _read(path: Path, *_state: int) -> str:
    """`_state`: what the system changes when the file changes; it is part of the key."""
    return path.read_text()


def _tree(path: Path) -> ast.Module:
    """The syntax tree of a file. Raises ParameterError where it is no Python: the user may have added it."""
    text = source(path)
    try:
        return _parsed(text)
    except (SyntaxError, ValueError) as error:
        raise ParameterError(of_source(path, error)) from None


@lru_cache(maxsize=256)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@lru_cache(maxsize=256)
def _keywords(text: str, name: str) -> dict[str, Field] | None:
    for node in _parsed(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_arguments(node.args)
        if isinstance(node, ast.ClassDef) and node.name == name:
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                    return _of_arguments(member.args)
            return _of_dataclass(node)
    return None


def _of_arguments(arguments: ast.arguments) -> dict[str, Field]:
    return {
        argument.arg: Field(ast.unparse(argument.annotation) if argument.annotation else "Any", default is None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }


def _of_dataclass(node: ast.ClassDef) -> dict[str, Field]:
    return {
        member.target.id: Field(ast.unparse(member.annotation), member.value is None)
        for member in node.body
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name)
    }


def unknown(kind: str, name: Any, known: Iterable[Any], where: str) -> ParameterError:
    """The error for an unknown name; it lists the known names and suggests the closest."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name)[:LONGEST_NAME], names[:MOST_KEYS], n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    quote = f" {QUOTE}." if isinstance(name, bool) else ""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    listed = ", ".join(names[:MOST_NAMED]) or "none"
    return ParameterError(f"{where}: unknown {kind} {shown(name)}.{hint}{quote} Known: {listed}{more}.")


def check_module(
    folder: Path, kind: str, name: Any, where: str, *, function: str | None = None, offer: str | None = None
) -> None:
    """Refuses `name` unless `<folder>/<name>.py` defines the function, or assigns a class to the name `offer`."""
    mark = f"\ndef {function}(" if function else f"\n{offer} = "
    if not is_name(name) or not (folder / f"{name}.py").is_file() or mark not in source(folder / f"{name}.py"):
        raise unknown(kind, name, modules(folder, mark), where)


def check_names(content: Any, where: str, example: str = "{} for the defaults") -> None:
    """Refuses anything but a mapping of names to mappings, and names that cannot be used in a path or a command."""
    if not isinstance(content, Mapping):
        raise ParameterError(f"params.yaml: '{where}' must be a mapping of names to their settings.")
    for name, own in content.items():
        if not is_name(name):
            raise ParameterError(
                f"{where}: the name {shown(name)} cannot be used; names are used in paths and commands, so they "
                f"consist of at most {LONGEST_NAME} letters, digits and underscores, and start with a letter."
            )
        if not isinstance(own, Mapping):
            raise ParameterError(f"{where}.{name} must be a mapping of settings ({example}).")


def check_block(block: Any, fields: Mapping[str, Field], where: str) -> None:
    """Refuses unknown keys, values that no such setting may have (tasks/settings/values.py), and missing keys."""
    if not isinstance(block, Mapping):
        raise ParameterError(f"{where} is {shown(block)}; it must be a mapping of settings.")
    for key, value in block.items():
        if key not in fields:
            raise unknown("setting", key, fields, where)
        if wrong := problem(key, value, fields[key].annotation):
            raise ParameterError(f"{where}.{key}{wrong}")
    for key, field in fields.items():
        if field.required and key not in block:
            raise ParameterError(f"{where}: '{key}' is missing ({field.annotation}).")
