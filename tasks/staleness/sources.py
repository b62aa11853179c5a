"""The project's sources: what a file imports, and one hash of files with all that they import."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable, Iterator, Set
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.process.faults import of_source
from tasks.settings.schema import ParameterError

MACHINERY = (
    *(f"tasks/{room}/" for room in ("process", "settings", "project", "staleness", "tracking", "stage", "remote")),
    "ssl_models/parallel/",
)
"""Folders of what carries, checks and records, and does not shape an output: their files are not followed."""
STATED = frozenset(
    ("TITLE", "READING", "HEADLINE", "UNITS", "CURVES", "MAP", "AGAINST", "EVERY", "LEADS", "ESTIMATES", "WORDS")
)
"""The constants that `ssl_models.protocols._common.statement` reads; not imported, for no stage reads them."""


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""The fields of a syntax tree that hold statements, or what holds them (`except`, `case`)."""


class Sources:
    """The sources below `root`, each read once: make a new one to see edits."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._texts: dict[str, str | None] = {}
        self._imports: dict[str, frozenset[str]] = {}
        self._hashes: dict[frozenset[str], str] = {}

    def text(self, path: str) -> str | None:
        """The content of a file, None where there is none. Raises ParameterError where it is no Python."""
        if path not in self._texts:
            file = self.root / path
            self._texts[path] = _source(file) if file.is_file() else None
        return self._texts[path]

    def constants(self, path: str) -> dict[str, Any]:
        """The constants in capitals that a file states at its top and whose value is written out."""
        return constants(self.text(path) or "")

    def fingerprint(self, files: Iterable[str]) -> str:
        """16 hexadecimal digits of some files and of all that they import; of "=FILE", of its constants alone."""
        wanted = frozenset(files)
        if wanted not in self._hashes:
            digest = hashlib.sha256()
            for path in sorted(self.reached(file for file in wanted if not file.startswith("="))):
                digest.update(f"{path}\0{bare(self.text(path) or '')}\0".encode())
            for path in sorted(file.removeprefix("=") for file in wanted if file.startswith("=")):
                digest.update(f"{path}\0{sorted(self.constants(path).items())}\0".encode())
            self._hashes[wanted] = digest.hexdigest()[:16]
        return self._hashes[wanted]

    def reached(self, files: Iterable[str]) -> set[str]:
        """`files`, as far as they are there, and all that they import, directly or not; machinery only if given."""
        done: set[str] = set()
        todo = {file for file in files if self.text(file) is not None}
        while todo:
            path = todo.pop()
            done.add(path)
            todo |= self.imported(path) - done
        return done

    def imported(self, path: str) -> frozenset[str]:
        """The first-party files outside of machinery that a file imports, at its top or inside functions.

        A module's packages are imported with it, and the file's own. Imports for type checkers only do not count.
        """
        if path not in self._imports:
            names = {name.replace(".", "/") for name in modules(self.text(path) or "")}
            packages = {str(parent) for name in names for parent in (Path(name), *Path(name).parents)}
            packages |= {str(parent) for parent in Path(path).parents}
            candidates = {f"{name}.py" for name in names} | {f"{name}/__init__.py" for name in packages - {"."}}
            found = (file for file in candidates if not file.startswith(MACHINERY) and self.text(file) is not None)
            self._imports[path] = frozenset(found)
        return self._imports[path]


def _source(file: Path) -> str:
    try:
        text = file.read_text()
        parsed(text)
    except (SyntaxError, ValueError) as error:
        raise ParameterError(of_source(file, error)) from None
    return text


@lru_cache(maxsize=1024)
def parsed(text: str) -> ast.Module:
    """The syntax tree of a source; nobody may change it."""
    return ast.parse(text)


def statements(node: ast.AST, *, typing: bool = True) -> Iterator[ast.stmt]:
    """Every statement below a node, at any depth; expressions, most of a tree, are not looked into.

    typing: also what stands under `if TYPE_CHECKING:`.
    """
    for block in BLOCKS:
        for child in getattr(node, block, ()):
            if isinstance(child, ast.stmt):
                if not typing and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                    continue
                yield child
            yield from statements(child, typing=typing)


@lru_cache(maxsize=1024)
def constants(text: str) -> dict[str, Any]:
    """The constants in capitals that a source states at its top and whose value is written out."""
    found: dict[str, Any] = {}
    for node in parsed(text).body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id.isupper():
                    try:
                        found[target.id] = ast.literal_eval(node.value)
                    except ValueError:
                        continue
    return found


@lru_cache(maxsize=1024)
def modules(text: str) -> frozenset[str]:
    """Every dotted name that a source might import as a module."""
    found: set[str] = set()
    for node in statements(parsed(text), typing=False):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return frozenset(found)


@lru_cache(maxsize=1024)
def bare(text: str) -> str:
    """What of a source shapes an output: no comments, strings that stand alone, blank lines or a protocol's statement.

    A protocol states its title and how to read its numbers for reports (`ssl_models.protocols._common.statement`). A
    constant of such a name that its own module reads stays.
    """
    lines = text.splitlines()
    if "#" in text:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
    tree = parsed(text)
    texts = (node for node in statements(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    for node in (*texts, *_statement_of_protocol(tree)):
        for row in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _statement_of_protocol(tree: ast.Module) -> list[ast.stmt]:
    """The assignments to names of `STATED` that the module itself does not read."""
    stating = [node for node in tree.body if _states(node, STATED)]
    if not stating:
        return []
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return [node for node in stating if _states(node, STATED - read)]


def _states(node: ast.stmt, names: Set[str]) -> bool:
    """Whether a statement only gives a written-out value to one of some names."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in names:
            try:
                ast.literal_eval(value)
            except ValueError:
                return False
            return True
    return False
