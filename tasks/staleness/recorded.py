"""What dvc.lock says of single stages: the settings that they ran with, and the hashes of what they read and wrote."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import parse_yaml
from tasks.staleness import lock_file


@dataclass(frozen=True)
class Recorded:
    """One stage's last run. settings: by the names in params.yaml. read, written: path -> MD5."""

    settings: dict[str, Any] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)


def recorded(project: Project, stages: Collection[str]) -> dict[str, Recorded]:
    """Stage -> its last run; one that dvc.lock does not tell of is empty, and all are where nothing can be read in it.

    Raises ParameterError where dvc.lock holds the marks of a merge.
    """
    try:
        texts = lock_file.read(project.root / paths.LOCK, stages)
    except lock_file.OddLockFile:
        texts = {}
    entries = {name: parse_yaml(texts[name])[name] if name in texts else {} for name in stages}
    return {name: _recorded(entry) for name, entry in entries.items()}


def training_stage(project: Project, run: str) -> str:
    """The stage that trains a run: "pretrain@rotation"."""
    return f"{'clusterfit' if run in project.parameters['clusterfit'] else 'pretrain'}@{run}"


def _recorded(entry: dict[str, Any]) -> Recorded:
    read, written = (
        {each["path"]: each["md5"] for each in entry.get(kind) or () if "path" in each and "md5" in each}
        for kind in ("deps", "outs")
    )
    return Recorded((entry.get("params") or {}).get(paths.PARAMETERS) or {}, read, written)
