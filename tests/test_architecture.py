"""Arrows point one way: flows -> tasks -> ssl_models; and each layer knows only its own third parties."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "ssl_models": {"tasks", "flows", "prefect", "dvc", "mlflow", "typer"},
    "tasks": {"flows", "prefect", "typer"},
    "flows": {"torch", "torchvision", "faiss", "sklearn"},
}
WITHOUT_TORCH = {"ssl_models/clustering.py", "ssl_models/directions.py"} | {
    f"ssl_models/protocols/{name}.py"
    for name in ("asked", "drawing", "intervals", "knn", "neighbours", "retrieval", "score")
}
"""faiss and torch crash in one process on macOS (faiss#3401): these run where torch is not loaded."""
FILES = [path for room in FORBIDDEN for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """The top-level names of all packages that a file imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_reaches_up_or_sideways(path):
    room = path.relative_to(ROOT).parts[0]
    assert not imports(path) & FORBIDDEN[room]


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_clustering_and_neighbours_leave_torch_out(name):
    assert "torch" not in imports(ROOT / name)


def test_only_the_store_builds_paths_of_outputs():
    words = ('/ "runs"', '/ "metrics"', '"results/', '/ ".covey"')
    guilty = [
        path.name
        for path in FILES
        if path.name != "store.py" and any(word in path.read_text() for word in words) and "tasks" in path.parts
    ]
    assert not guilty


def test_no_file_is_a_hub():
    long = {path.name: lines for path in FILES if (lines := len(path.read_text().splitlines())) > 300}
    assert not long, f"split these in two: {long}"


def test_every_module_says_what_it_is():
    texts = {path.name: path.read_text() for path in FILES}
    assert not [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))]
