"""A fingerprint of what a stage declares in dvc.yaml: its paths, its parameters, its code.

DVC hashes a stage's inputs after its command has ended (iterative/dvc#11058): code or parameters edited during an
hour's training would be recorded as the inputs of the old output. So a stage takes this fingerprint as its first act
and its last, and fails when they differ.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.process.files import is_temporary, stat_text
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import parse_yaml
from tasks.staleness import code_hash, pipeline
from tasks.staleness.graph import Stage
from tasks.staleness.known_hashes import KnownHashes

LARGE = 2**20
"""Bytes from which on the hash of a file is kept in the project's database."""


class CodeChangedError(RuntimeError):
    """Code, a data set's files, an encoder's settings or weights were edited after code.json was written. what: names
    them."""

    def __init__(self, key: str) -> None:
        kind, _, name = key.partition(".")
        what = {
            code_hash.SOURCES: "the files of the data set",
            code_hash.ENCODERS: "the settings of the encoder of",
            code_hash.WEIGHTS: "the file of the weights of",
        }.get(kind, f"the code of {kind}")
        self.what = f"{what} {name}".replace(".", " ").strip()
        super().__init__(
            f"{self.what} changed after {paths.CODE} was written; `dvc repro code` or `covey run` brings it up to date"
        )


def fingerprint(root: Path, stage: Stage, parameters: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Input -> SHA-256 of its content as it is now ("missing" where there is none); of code, what is imported now.

    parameters: the content of params.yaml where the caller has just read it.

    Raises:
        CodeChangedError: the code is not what code.json says, which DVC goes by.
    """
    found = hash_paths(Project(root), stage.paths)
    content = parse_yaml((root / paths.PARAMETERS).read_text()) if parameters is None else parameters
    found |= {f"params:{key}": _hash_value(content, key) for key in stage.parameters}
    if stage.code:
        now, noted = code_hash.fingerprints(root, wanted=stage.code, thorough=True), code_hash.read(root)
        for key in stage.code:
            found[f"code:{key}"] = _hash_value(now, key)
            if _hash_value(noted, key) != found[f"code:{key}"]:
                raise CodeChangedError(key)
    return found


def key_of(stage: str, fingerprint: Mapping[str, str]) -> str:
    """One hash for a stage and all its inputs: equal keys promise equal outputs."""
    return hashlib.sha256(json.dumps([stage, fingerprint], sort_keys=True).encode()).hexdigest()


def changed(project: Project, name: str, inputs: Mapping[str, str]) -> list[str]:
    """The inputs of a stage that are not what they were at an earlier fingerprint, by name."""
    try:
        now = fingerprint(project.root, pipeline.stage(project.root, name))
    except CodeChangedError as error:
        return [error.what]
    return sorted(key for key in inputs.keys() | now.keys() if inputs.get(key) != now.get(key))


def note(project: Project, name: str, inputs: Mapping[str, str]) -> None:
    """Keeps the fingerprint that a stage's outputs were made of, for `noted`."""
    files.write_json(_note(project, name), dict(inputs))


def noted(project: Project, name: str) -> dict[str, str] | None:
    """The fingerprint of a stage's last run; None where it has kept none."""
    path = _note(project, name)
    return dict(files.read_json(path)) if path.exists() else None


def _note(project: Project, name: str) -> Path:
    return project.state / "inputs" / f"{name}.json"


def hash_paths(project: Project, names: Iterable[str]) -> dict[str, str]:
    """Path -> SHA-256 of a file, or of a folder's names and contents (compiled Python apart); "missing" for nothing.

    Large files that have not been touched since any process hashed them are not read again.
    """
    members = {name: sorted(_members(project.root / name)) for name in names}
    known = KnownHashes(project)
    known.look_up([os.fsencode(path) for found in members.values() for path in found if _is_large(path)])
    hashes = {name: _hash(project.root / name, found, known) for name, found in members.items()}
    known.keep()
    return hashes


def _members(path: Path) -> list[Path]:
    """The files in a folder; a file itself."""
    if not path.is_dir():
        return [path] if path.exists() else []
    found = (member for member in path.rglob("*") if member.is_file())
    return [member for member in found if "__pycache__" not in member.parts and not is_temporary(member)]


def _is_large(path: Path) -> bool:
    return path.stat().st_size >= LARGE


def _hash(path: Path, members: list[Path], known: KnownHashes) -> str:
    if not path.exists():
        return "missing"
    hashes = {member: _hash_file(member, known) for member in members}
    if not path.is_dir():
        return hashes[path]
    text = "".join(f"{member.relative_to(path).as_posix()}\0{content}\0" for member, content in hashes.items())
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_file(path: Path, known: KnownHashes) -> str:
    found = os.stat(path)
    if found.st_size >= LARGE:
        return known.hash_of(os.fsencode(path), stat_text(found))
    return _hash_small(path, stat_text(found))


@lru_cache(maxsize=100_000)
def _hash_small(path: Path, _state: str) -> str:
    """`_state`: what the system changes when the file changes; it is part of the key."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value(content: Any, key: str) -> Any:
    """What stands under a dotted key; None where there is nothing."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _hash_value(content: Any, key: str) -> str:
    """SHA-256 of what stands under a dotted key; nothing there counts as null."""
    return hashlib.sha256(json.dumps(value(content, key), sort_keys=True).encode()).hexdigest()
