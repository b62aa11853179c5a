"""Changes settings of a block of params.yaml that stands on one line, `  NAME: &NAME {key: value, ...}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tasks.settings.schema import ParameterError, parse_yaml

VALUE = r"""("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,{}\[\]"'][^,{}\[\]]*?|)"""
"""One number, word or text in a mapping on one line; or none."""
PLAIN = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
"""A value that YAML takes for this text without quotes, if it says so itself."""


def with_settings(text: str, block: str, name: str, settings: Mapping[str, Any]) -> str:
    """The text of params.yaml with other values of some settings of the entry `name` of a block at the top level.

    The rest of the line, its comment, and all other lines stay the same. Raises ParameterError for an entry that does
    not stand on one line, and for a text in which that would change anything else.
    """
    wanted = parse_yaml(text)
    wanted[block][name] = {**wanted[block][name], **settings}
    lines = text.splitlines(keepends=True)
    pattern = re.compile(rf"[ \t]+{re.escape(name)}:[ \t]*(&\S+[ \t]+)?\{{")
    for number, line in enumerate(lines):
        if not pattern.match(line):
            continue
        changed = line
        for key, value in settings.items():
            changed = _with_setting(changed, key, value)
        after = "".join([*lines[:number], changed, *lines[number + 1 :]])
        try:
            if parse_yaml(after)[block] == wanted[block]:
                return after
        except (yaml.YAMLError, KeyError, TypeError):
            continue
    told = ", ".join(f"{key}: {_in_yaml(value)}" for key, value in settings.items())
    raise ParameterError(
        f"params.yaml: the block {block}.{name} does not stand on one line, as in `  {name}: &{name} {{...}}`. Write "
        f"{told} into it yourself."
    )


def _with_setting(line: str, key: str, value: Any) -> str:
    """The line with the value of a key changed, or added at the end of the mapping."""
    own = rf"([{{,][ \t]*{re.escape(key)}:[ \t]*){VALUE}(?=[ \t]*[,}}])"
    changed, count = re.subn(own, lambda found: found[1] + _in_yaml(value), line, count=1)
    if count:
        return changed
    end = _end(line)
    before = line[:end].rstrip()
    return f"{before}{'' if before.endswith('{') else ', '}{key}: {_in_yaml(value)}{line[end:]}"


def _end(line: str) -> int:
    """Where the mapping of the line ends: at its last brace before a comment."""
    depth, quote = 0, ""
    for at, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if character == "}" and depth == 0:
                return at
    return len(line.rstrip())


def _in_yaml(value: Any) -> str:
    """A value as it stands in a mapping on one line."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    dumped = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).strip()
    return dumped.removeprefix("[").removesuffix("]")
