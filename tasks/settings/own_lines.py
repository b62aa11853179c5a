"""Changes settings of a data set's block in params.yaml, and nothing else of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from tasks.settings.schema import ParameterError, parse_yaml

PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
"""A value that YAML takes for this text without quotes, if it says so itself."""


def with_settings(text: str, block: str, name: str, settings: Mapping[str, Any]) -> str:
    """The text of params.yaml with other values of some settings of the entry `name` of a block at the top level.

    All other lines and all comments stay the same. Raises ParameterError for an entry that is written elsewhere, as an
    alias, and for a text in which that would change anything else.
    """
    before = parse_yaml(text)
    wanted = {**before[block], name: {**before[block][name], **settings}}
    after = text
    for key, value in settings.items():
        after = _with_setting(after, block, name, key, _in_yaml(value))
    if parse_yaml(after)[block] != wanted:
        told = ", ".join(f"{key}: {_in_yaml(value)}" for key, value in settings.items())
        raise ParameterError(
            f"params.yaml: write {told} into the block {block}.{name} yourself; it is shared by others."
        )
    return after


def _with_setting(text: str, block: str, name: str, key: str, value: str) -> str:
    """The text with the value of one key changed, or with the key added: at the end of `{...}`, else at the start."""
    entry = _under(_under(yaml.compose(text), block), name)
    if not isinstance(entry, MappingNode):
        return text
    if (old := _under(entry, key)) is not None:
        start, end = old.start_mark.index, old.end_mark.index
        return text[:start] + value + text[end:]
    if not entry.flow_style:
        start, column = entry.value[0][0].start_mark.index, entry.value[0][0].start_mark.column
        return f"{text[:start]}{key}: {value}\n{' ' * column}{text[start:]}"
    end = entry.end_mark.index - 1
    before = text[:end].rstrip()
    return f"{before}{'' if before[-1] in '{,' else ', '}{key}: {value}{text[end:]}"


def _under(node: Node | None, key: str) -> Node | None:
    """The value of a key of a mapping; None where it has none."""
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for own, value in pairs if isinstance(own, ScalarNode) and own.value == key), None)


def _in_yaml(value: Any) -> str:
    """A value as it stands in a mapping on one line."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    dumped = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).strip()
    return dumped.removeprefix("[").removesuffix("]")
