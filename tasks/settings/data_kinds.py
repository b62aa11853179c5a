"""Kinds of data: pictures, speech, text. `kinds` of params.yaml holds what each works with; one of them is merged in.

    kinds:
      pictures: &of_pictures {kind: pictures, encoder: ..., training: ..., pretrain: ..., ...}
      speech: &of_speech {kind: speech, ...}
    data: *world
    <<: *of_pictures

The merge puts the blocks of that kind at the top level, where dvc.yaml and the code look for them: the stages of the
other kinds do not exist. A reader states which kind its data are of (KIND; pictures where it does not), and a data
set's block may say another (`kind: NAME`), where one kind of data is worked on in several ways. A params.yaml without
`kinds` has the blocks of its one kind at the top level.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from tasks.settings.maps import of_any_runs
from tasks.settings.schema import CODE, ParameterError, constant, unknown
from tasks.settings.values import is_name, shown

KINDS, KIND, PICTURES = "kinds", "kind", "pictures"
BLOCKS = ("encoder", "training", "extract", "sets", "suites", "pretrain", "clusterfit", "transfer", "targets")
"""The blocks that each kind has."""
MAPS = "maps"
"""The block that a kind may have, where it is not at the top level for all."""


def of_reader(reader: str) -> str:
    """The kind of the data that ssl_models/datasets/<reader>.py reads."""
    path = CODE / "datasets" / f"{reader}.py"
    stated = constant(path, "KIND") if path.is_file() else None
    return PICTURES if stated is None else str(ast.literal_eval(stated))


def of_block(block: Mapping[str, Any]) -> str:
    """The kind of a data set: what its block says, else its reader."""
    return str(block[KIND]) if KIND in block else of_reader(block["reader"])


def active(parameters: Mapping[str, Any]) -> str:
    """The kind that is merged in."""
    return str(parameters.get(KIND, PICTURES))


def with_kind(parameters: Mapping[str, Any], kind: str, where: str) -> dict[str, Any]:
    """The parameters with the blocks of a kind, and with a data set of it: the selected one, else its first.

    Raises ParameterError for an unknown kind, and for one without a data set.
    """
    kinds = parameters.get(KINDS) or {active(parameters): {}}
    if kind not in kinds:
        raise unknown("kind of data", kind, kinds, where)
    if kind == active(parameters):
        return dict(parameters)
    own = [block for block in parameters["datasets"].values() if of_block(block) == kind]
    if not own:
        raise ParameterError(f"{where}: no data set of params.yaml is of the kind '{kind}'; add one under datasets.")
    selected = {"data": dict(own[0]), "runs": "all", "protocols": "all"}
    found = {**parameters, **kinds[kind]}
    return {**found, **selected, **of_any_runs(found)}


def check_kinds(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError for kinds that are no such blocks, and for data of another kind than the one merged in."""
    kinds = parameters.get(KINDS, {})
    if not isinstance(kinds, Mapping):
        raise ParameterError("params.yaml: 'kinds' must be a mapping of names to the blocks of each kind.")
    for name, blocks in kinds.items():
        if not is_name(name) or not isinstance(blocks, Mapping):
            raise ParameterError(f"kinds: {shown(name)} must be a name, with a mapping of blocks.")
        where = f"kinds.{name}"
        if blocks.get(KIND) != name:
            raise ParameterError(f"{where}: its 'kind' is {shown(blocks.get(KIND))}; it must be '{name}'.")
        for block in blocks:
            if block not in (KIND, *BLOCKS, MAPS):
                raise unknown("block", block, (KIND, *BLOCKS, MAPS), where)
        for block in BLOCKS:
            if block not in blocks:
                raise ParameterError(f"{where}: the block '{block}' is missing.")
    if kinds and active(parameters) not in kinds:
        raise ParameterError(
            f"params.yaml: no kind is merged in, or an unknown one; write a line such as `<<: *of_{next(iter(kinds))}`."
        )


def check_data(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError for a selected data set of another kind than the one merged in."""
    data, kind = parameters["data"], active(parameters)
    kinds = parameters.get(KINDS) or {kind: {}}
    if KIND in data and data[KIND] not in (*kinds, kind):
        raise unknown("kind of data", data[KIND], kinds, f"datasets.{data['name']}.kind")
    if (own := of_block(data)) != kind:
        raise ParameterError(
            f"params.yaml: the data set '{data['name']}' is of the kind '{own}', and the blocks merged in are those of "
            f"'{kind}'. `covey run --data {data['name']}` changes both lines; or write `<<: *of_{own}`."
        )
