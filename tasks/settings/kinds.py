"""The kinds of stages: what a command of dvc.yaml does, by which it is retried, weighed and given a device."""

from __future__ import annotations

from typing import Literal, get_args

SWEEP_FILES, STUDY_FILES = "sweeps", "studies"
"""The folders of what `covey sweep` and `covey study` run."""

Kind = Literal["prepare", "train", "extract", "cluster", "transfer", "report"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OTHER_WORDS: dict[str, Kind] = {"code": "prepare", "pretrain": "train", "clusterfit": "train"}


def kind_of(stage: str) -> Kind:
    """The kind of a stage, by the first word of its name: "transfer_target@rotation-scenes" -> "transfer"."""
    word = stage.partition("@")[0].partition("_")[0]
    return OTHER_WORDS.get(word, word)  # type: ignore[arg-type,return-value]
