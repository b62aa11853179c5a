"""DVC's run cache: which stages it would restore instead of running them, told beforehand and without a workspace.

An entry lies at runs/KK/KEY/VALUE. KEY is a hash of a stage's command, inputs and parameters and of the paths of its
outputs; the file holds the hashes of what it wrote. So a stage whose inputs are known can be looked up before the
stages above it are restored, and what it wrote makes the inputs of those below it known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project import paths
from tasks.staleness import dvc_cache, lock_file
from tasks.staleness.declaration import value
from tasks.staleness.dvc_patches import hash_of_run
from tasks.staleness.graph import Graph, Stage

OUTPUTS = re.compile(r"(?ms)^(?:    |  )?outs:\n(.*)\Z")
OUTPUT = re.compile(r"- path: (?P<path>[^\n]+)\n(?:\s+hash: md5\n)?\s+md5: (?P<digest>[0-9a-f]{32}(?:\.dir)?)\n")
COMMAND = re.compile(r"(?m)^cmd: (.+)$")
RUNS = "runs"
Digests = dict[str, str]


@dataclass(frozen=True)
class Entry:
    """One entry of the run cache. outputs: path -> hash. command: of the stage. when: when it was written."""

    file: Path
    command: str
    outputs: Mapping[str, str]
    when: float


def folder(cache: Path) -> Path:
    """The folder of entries. cache: the folder of objects, CACHE/files/md5."""
    return cache.parents[1] / RUNS


def entries(cache: Path) -> Iterator[Entry]:
    """Every entry that can be read."""
    for path in sorted(folder(cache).glob("*/*/*")):
        if path.is_file() and not files.is_temporary(path):
            yield _entry(path)


def outputs_in(text: str) -> Digests:
    """Path -> hash of the outputs that a stage's entry lists, in dvc.lock or in the run cache."""
    found = OUTPUTS.search(text)
    return {match["path"]: match["digest"] for match in OUTPUT.finditer(found[1])} if found else {}


def of_lock(root: Path) -> Digests:
    """Path -> hash of every output that dvc.lock lists; none where it cannot be read."""
    path = root / paths.LOCK
    return in_lock(path.read_text(errors="replace")) if path.is_file() else {}


def in_lock(text: str) -> Digests:
    """Path -> hash of every output that the text of a dvc.lock lists."""
    found: Digests = {}
    for entry in lock_file.ENTRY.finditer(text):
        found |= outputs_in(entry["body"])
    return found


def drop_broken(cache: Path, going: Collection[Path] = ()) -> int:
    """Removes entries of which the cache lacks an output, with folders that become empty, at which DVC fails.

    going: objects that are about to be removed; they count as lacking.

    DVC takes the newest entry of a key: one that it cannot restore would hide those that it can (dvc#9420). Returns how
    many there were.
    """

    def stays(digest: str) -> bool:
        objects = [digest, *dvc_cache.members(cache, digest).values()]
        return all((path := dvc_cache.place(cache, each)).is_file() and path not in going for each in objects)

    broken = [entry for entry in entries(cache) if not all(map(stays, entry.outputs.values()))]
    for entry in broken:
        entry.file.unlink(missing_ok=True)
        if not any(entry.file.parent.iterdir()):
            entry.file.parent.rmdir()
    return len(broken)


def restorable(
    cache: Path,
    stages: Graph,
    names: Collection[str],
    parameters: Mapping[str, Any],
    code: Mapping[str, Any],
    known: Mapping[str, str],
) -> dict[str, Digests]:
    """Stage -> path -> hash of its outputs, of those of the named stages that DVC would restore.

    Args:
        stages: parents before children.
        parameters, code: what params.yaml and code.json will hold.
        known: path -> hash of the outputs of stages that are up to date.
    """
    stale = {path for name in names for path in stages[name].outputs}
    known = {path: digest for path, digest in known.items() if path not in stale}
    found: dict[str, Digests] = {}
    for name, stage in stages.items():
        if name not in names or any(path not in known for path in stage.paths):
            continue
        outputs = _newest(folder(cache), _key(stage, parameters, code, known))
        if outputs.keys() == set(stage.outputs) and all(dvc_cache.holds(cache, each) for each in outputs.values()):
            found[name] = outputs
            known |= outputs
    return found


def _key(stage: Stage, parameters: Mapping[str, Any], code: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """The key of a stage, as `dvc.stage.cache` makes it of what dvc.lock would hold."""
    content: dict[str, Any] = {"cmd": stage.command, "outs": [{"path": path} for path in sorted(stage.outputs)]}
    if stage.paths:
        content["deps"] = [{"path": path, "hash": "md5", "md5": known[path]} for path in sorted(stage.paths)]
    named = {paths.PARAMETERS: (stage.parameters, parameters), paths.CODE: (stage.code, code)}
    params = {file: {key: value(own, key) for key in keys} for file, (keys, own) in named.items() if keys}
    if params:
        content["params"] = params
    return hash_of_run(content, key=True)


def _newest(runs: Path, key: str) -> Digests:
    """The outputs of the newest entry of a key, the one that DVC takes; none where there is none."""
    found = [path for path in (runs / key[:2] / key).glob("*") if path.is_file()]
    if not found:
        return {}
    return outputs_in(max(found, key=lambda path: path.stat().st_mtime).read_text(errors="replace"))


def _entry(path: Path) -> Entry:
    text = path.read_text(errors="replace")
    command = COMMAND.search(text)
    return Entry(path, command[1] if command else "", outputs_in(text), path.stat().st_mtime)
