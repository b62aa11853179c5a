"""Stage `code`: one fingerprint for everything that a stage looks up by name, of exactly the code that it imports.

code.json holds, for each method, protocol, encoder, reader and stage, a hash of its file and of all first-party files
that it imports, directly or not; for a protocol that runs an encoder, and for a target, of every encoder's too. Stages
depend on their own entries of it, as on parameters. So a shared file makes those stale that really import it and no
others, nothing has to be listed by hand, and a comment makes nothing stale.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tasks.project.paths import CODE, whole_file
from tasks.settings.schema import parse_yaml

FOLDERS = {"method": "methods", "encoder": "encoders", "protocol": "protocols", "reader": "datasets"}
STAGES = ("prepare", "pretrain", "extract", "cluster", "clusterfit", "transfer", "report")
PLUMBING = {
    f"tasks/{name}.py"
    for name in (
        *("code", "declared", "faults", "journal", "labels", "lifeline", "mlflow_store", "params", "process"),
        *("registry", "runs", "schema", "stage", "store", "tracking", "workers"),
    )
}
"""What carries, checks and records, and does not shape an output: a change there makes nothing stale."""

ENCODERS = "ssl_models/encoders"
EXTRACTION = "ssl_models/extraction.py"
Fingerprints = dict[str, dict[str, str]]


def main(arguments: list[str]) -> int:  # noqa: ARG001
    """ssl_models/, tasks/ -> code.json. It takes a moment and is made of the tree alone: nothing is recorded of it."""
    write(Path.cwd())
    return 0


def write(root: Path) -> None:
    """Writes code.json as the code in `root` is now."""
    with whole_file(root / CODE) as temporary:
        temporary.write_text(json.dumps(fingerprints(root), indent=1) + "\n")


def read(root: Path) -> Fingerprints:
    """What code.json says; empty where there is none."""
    path = root / CODE
    content: Fingerprints = json.loads(path.read_text()) if path.exists() else {}
    return content


def fingerprints(
    root: Path, targets: Mapping[str, Any] | None = None, wanted: Collection[str] | None = None
) -> Fingerprints:
    """Kind -> name -> 16 hexadecimal digits, of the code as it is now.

    targets: their blocks, else those of params.yaml. wanted: "kind" or "kind.name" of what is asked for; else all.
    """
    found: Fingerprints = {}
    for (kind, name), files in _files(root, targets).items():
        if wanted is None or kind in wanted or f"{kind}.{name}" in wanted:
            found.setdefault(kind, {})[name] = fingerprint(root, *files())
    return found


def _files(root: Path, targets: Mapping[str, Any] | None) -> dict[tuple[str, str], Callable[[], list[str]]]:
    """Kind and name of every entry -> what tells the files that it begins with."""
    found: dict[tuple[str, str], Callable[[], list[str]]] = {}
    for kind, folder in FOLDERS.items():
        for file in sorted((root / "ssl_models" / folder).glob("[!_]*.py")):
            own = f"ssl_models/{folder}/{file.name}"
            found[kind, file.stem] = partial(_of_protocol, root, own) if kind == "protocol" else partial(list, [own])
    for name in STAGES:
        found["stage", name] = partial(list, [f"tasks/{name}.py"])
    for name, protocol in _protocols(root, _targets(root) if targets is None else targets).items():
        found["target", name] = partial(_of_target, root, protocol)
    return found


def _of_protocol(root: Path, file: str) -> list[str]:
    return [file, *(_encoders(root) if "encoder" in needs((root / file).read_text()) else [])]


def _of_target(root: Path, protocol: str) -> list[str]:
    return [f"ssl_models/protocols/{protocol}.py", EXTRACTION, *_encoders(root)]


def needs(text: str) -> tuple[str, ...]:
    """What a protocol's source says that it needs, read without importing it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "NEEDS" for t in node.targets):
            return tuple(ast.literal_eval(node.value))
    return ()


def _encoders(root: Path) -> list[str]:
    return [f"{ENCODERS}/{file.name}" for file in sorted((root / ENCODERS).glob("[!_]*.py"))]


def _targets(root: Path) -> dict[str, Any]:
    path = root / "params.yaml"
    return ((parse_yaml(path.read_text()) or {}).get("targets") if path.exists() else None) or {}


def _protocols(root: Path, blocks: Mapping[str, Any]) -> dict[str, str]:
    """Target -> its protocol, for those whose protocol there is; params.yaml's faults are told elsewhere."""
    named = {name: block.get("protocol", "") for name, block in blocks.items() if isinstance(block, dict)}
    return {
        name: protocol for name, protocol in named.items() if (root / f"ssl_models/protocols/{protocol}.py").is_file()
    }


def fingerprint(root: Path, *files: str) -> str:
    """One hash of some files and of all that they import."""
    digest = hashlib.sha256()
    for path in sorted(reached(root, set(files))):
        digest.update(f"{path}\0{bare((root / path).read_text())}\0".encode())
    return digest.hexdigest()[:16]


def reached(root: Path, files: set[str]) -> set[str]:
    """`files` and the first-party files that they import, directly or not, plumbing left out."""
    done: set[str] = set()
    todo = set(files)
    while todo:
        path = todo.pop()
        done.add(path)
        todo |= imported(root, path) - done - PLUMBING
    return done


def imported(root: Path, path: str) -> set[str]:
    """The first-party files that a file imports, at its top or inside functions; not those for type checkers only."""
    names = {name.replace(".", "/") for name in modules((root / path).read_text())}
    candidates = {f"{name}.py" for name in names} | {f"{name}/__init__.py" for name in names}
    return {name for name in candidates if (root / name).is_file()}


@lru_cache(maxsize=1024)
def modules(text: str) -> frozenset[str]:
    """Every dotted name that a source might import as a module."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(text))
    return frozenset(found)


@lru_cache(maxsize=1024)
def bare(text: str) -> str:
    """A source without comments, docstrings, blank lines and blanks at the ends of lines."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            for row in range(first.lineno, (first.end_lineno or first.lineno) + 1):
                lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())
