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

TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
}


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2 for floats: PyYAML follows version 1.1 and reads 1e-05, as DVC writes it, as a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """The content of a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)


class ParameterError(ValueError):
    """Something in params.yaml cannot be used; the message says what, where, and what is allowed."""


@dataclass(frozen=True)
class Field:
    """One keyword setting: its annotation as written in the source, and whether it is required."""

    annotation: str
    required: bool

    def accepts(self, value: Any) -> bool:
        """Whether a value from YAML has the annotated type. An annotation of any other kind accepts all values."""
        allowed: list[type] = []
        for part in self.annotation.split("|"):
            name = part.strip().partition("[")[0]
            if name == "None":
                allowed.append(type(None))
            elif name in TYPES:
                allowed.extend(TYPES[name])
            else:
                return True
        if isinstance(value, bool) and bool not in allowed:
            return False
        return isinstance(value, tuple(allowed))


@lru_cache(maxsize=256)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def keywords(path: Path, name: str) -> dict[str, Field]:
    """The keyword-only settings of the function, class or dataclass `name` in the file `path`."""
    for node in _parsed(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_arguments(node.args)
        if isinstance(node, ast.ClassDef) and node.name == name:
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                    return _of_arguments(member.args)
            return _of_dataclass(node)
    raise ParameterError(f"{path} has no function or class '{name}'")


def offered(path: Path, name: str) -> str:
    """The class that a module assigns to an upper-case name: `METHOD = Rotation` -> "Rotation"."""
    for node in _parsed(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    return node.value.id
    raise ParameterError(f"{path} must end with '{name} = <its class>'")


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


def unknown(kind: str, name: str, known: Iterable[str], where: str) -> ParameterError:
    """The error for an unknown name; it lists the known names and suggests the closest."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return ParameterError(f"{where}: unknown {kind} '{name}'.{hint} Known: {', '.join(known) or 'none'}.")


def check_names(content: Any, where: str, example: str = "{} for the defaults") -> None:
    """Refuses anything but a mapping of names to mappings, and names that cannot be used in a path or a command."""
    if not isinstance(content, Mapping):
        raise ParameterError(f"params.yaml: '{where}' must be a mapping of names to their settings.")
    for name, own in content.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ParameterError(
                f"{where}: the name {name!r} cannot be used; names are used in paths and commands, so they consist of "
                "letters, digits and underscores, and start with a letter."
            )
        if not isinstance(own, Mapping):
            raise ParameterError(f"{where}.{name} must be a mapping of settings ({example}).")


def check_block(block: Mapping[str, Any], fields: Mapping[str, Field], where: str) -> None:
    """Refuses unknown keys, values of the wrong type, and missing required keys."""
    for key, value in block.items():
        if key not in fields:
            raise unknown("setting", key, fields, where)
        if not fields[key].accepts(value):
            raise ParameterError(f"{where}.{key}: {value!r} is not of type {fields[key].annotation}.")
    for key, field in fields.items():
        if field.required and key not in block:
            raise ParameterError(f"{where}: '{key}' is missing ({field.annotation}).")
