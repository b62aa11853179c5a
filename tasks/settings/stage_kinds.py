"""The kinds of stages. The kind of a stage decides its retries and its weight in the plan."""

from __future__ import annotations

from typing import Literal, get_args

SWEEP_FILES, STUDY_FILES = "sweeps", "studies"
"""The folders of the files that `covey sweep` and `covey study` run."""

Kind = Literal["prepare", "train", "extract", "cluster", "transfer", "atlas", "report"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OTHER_WORDS: dict[str, Kind] = {"code": "prepare", "pretrain": "train", "clusterfit": "train"}


def kind_of(stage: str) -> Kind:
    """The kind of a stage, from the first word of its name: "transfer_target@rotation-scenes" -> "transfer"."""
    word = stage.partition("@")[0].partition("_")[0]
    return OTHER_WORDS.get(word, word)  # type: ignore[arg-type,return-value]
