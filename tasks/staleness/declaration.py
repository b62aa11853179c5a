"""What a stage declares in dvc.yaml, and a fingerprint of it.

DVC hashes a stage's inputs after its command has ended (iterative/dvc#11058): code or parameters edited during an
hour's training would be recorded as the inputs of the old output. So a stage takes this fingerprint as its first act
and its last, and fails when they differ.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.dvcfile import load_file
from dvc.repo import Repo
from dvc.stage import PipelineStage

from tasks.project.paths import CODE, is_temporary
from tasks.settings.schema import parse_yaml
from tasks.staleness import code_hash


class CodeChangedError(RuntimeError):
    """Code was edited after code.json was written."""


@dataclass(frozen=True)
class Declared:
    """A stage's declared inputs: paths relative to the root, keys of params.yaml and of code.json; and its outputs."""

    root: Path
    stage: str
    paths: tuple[str, ...]
    parameters: tuple[str, ...]
    code: tuple[str, ...]
    outputs: tuple[str, ...]

    def fingerprint(self) -> dict[str, str]:
        """Input -> SHA-256 of its content as it is now ("missing" where there is none); of code, what is imported now.

        Raises:
            CodeChangedError: the code is not what code.json says, which DVC goes by.
        """
        found = {path: hash_path(self.root / path) for path in self.paths}
        content = parse_yaml((self.root / "params.yaml").read_text())
        found |= {f"params:{key}": _hash_value(content, key) for key in self.parameters}
        if self.code:
            now, noted = code_hash.fingerprints(self.root, wanted=self.code), code_hash.read(self.root)
            for key in self.code:
                found[f"code:{key}"] = _hash_value(now, key)
                if _hash_value(noted, key) != found[f"code:{key}"]:
                    raise CodeChangedError(
                        f"the code of {key.replace('.', ' ')} is not what {CODE} says; `dvc repro code` or `covey run` "
                        "brings that up to date"
                    )
        return found

    def key(self, fingerprint: dict[str, str]) -> str:
        """One hash for the stage and all its inputs: equal keys promise equal outputs."""
        return hashlib.sha256(json.dumps([self.stage, fingerprint], sort_keys=True).encode()).hexdigest()


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of a folder's names and contents (compiled Python apart)."""
    if not path.exists():
        return "missing"
    if path.is_file():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for member in sorted(path.rglob("*")):
        if member.is_file() and "__pycache__" not in member.parts and not is_temporary(member):
            digest.update(f"{member.relative_to(path).as_posix()}\0{hash_path(member)}\0".encode())
    return digest.hexdigest()


def of_stage(stage: PipelineStage, root: Path) -> Declared:
    """The declaration of a stage that DVC has parsed."""
    paths: list[str] = []
    parameters: list[str] = []
    keys: list[str] = []
    for dependency in stage.deps:
        if hasattr(dependency, "params"):
            (keys if _relative(dependency.fs_path, root) == CODE else parameters).extend(dependency.params)
        else:
            paths.append(_relative(dependency.fs_path, root))
    outputs = tuple(_relative(output.fs_path, root) for output in stage.outs)
    inputs = [tuple(sorted(names)) for names in (paths, parameters, keys)]
    return Declared(root, stage.name, inputs[0], inputs[1], inputs[2], outputs)


def read(root: Path, stage: str) -> Declared:
    """The declaration of one stage, as DVC resolves it from dvc.yaml and params.yaml.

    dvc.lock is left alone: another stage's dvc may be writing it, in place, at this very moment.
    """
    with Repo(str(root)) as repo:
        file = load_file(repo, str(root / "dvc.yaml"))
        return of_stage(file.LOADER(file, file.contents, {})[stage], root)


def value(content: Any, key: str) -> Any:
    """What stands under a dotted key; None where there is nothing."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _hash_value(content: Any, key: str) -> str:
    """SHA-256 of what stands under a dotted key; nothing there counts as null."""
    return hashlib.sha256(json.dumps(value(content, key), sort_keys=True).encode()).hexdigest()


def _relative(path: str, root: Path) -> str:
    full = Path(path)
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else full.as_posix()
