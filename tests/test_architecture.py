"""The house: arrows that point one way, no circles, files of one job, and each layer's own third parties."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("flows", "tasks", "ssl_models")
FORBIDDEN = {
    "ssl_models": {"tasks", "flows", "prefect", "prefect_dask", "dask", "distributed", "dvc", "mlflow", "typer"},
    "tasks": {"flows", "prefect", "prefect_dask", "dask", "distributed", "typer"},
    "flows": {"torch", "torchvision", "faiss", "sklearn"},
}
WITHOUT_TORCH = (
    {f"ssl_models/{name}.py" for name in ("clustering", "two_level_clustering", "directions", "nearest", "figures")}
    | {f"ssl_models/atlas/{name}.py" for name in ("layout", "neighbours", "groups", "oddities", "looks")}
    | {
        f"ssl_models/protocols/{name}.py"
        for name in (
            "knn",
            "retrieval",
            *(f"_common/{n}" for n in ("checks", "intervals", "layer_directions", "neighbour_rows", "score")),
        )
    }
)
"""faiss and torch crash in one process on macOS (faiss#3401): these run where torch is not loaded."""
FILES = {path.relative_to(ROOT).as_posix(): path for top in TOP for path in sorted((ROOT / top).rglob("*.py"))}
EVERY = FILES | {
    path.relative_to(ROOT).as_posix(): path for top in ("benchmarks", "tests") for path in (ROOT / top).rglob("*.py")
}
ROOMS = {
    "tasks": (
        *("process", "selection", "settings", "project", "staleness", "artifacts", "tracking", "stage", "training"),
        *("measuring", "checks", "estimates", "targets", "reporting", "exporting", "", "sweeps", "studies", "upkeep"),
        "remote",
    ),
    "flows": (
        "errors",
        "completion",
        "opening",
        "prefect_server",
        "run",
        "dask",
        "command",
        "sweep",
        "serve",
        "commands",
        "cli",
    ),
}
"""The order of rooms: each may import itself and those before it. "" stands for the modules of the stages."""
LONG_BODIES: set[str] = set()
"""Functions whose body is over 40 lines, by FILE:NAME, each with a reason."""
NOT_IMPORTED = {
    "fastapi": "prefect's server",
    "cloudpickle": "imported by name, where functions are sent to workers",
    "embedding-atlas": "a program that `covey atlas` starts",
    "onnxruntime": "loads ONNX exports by the lines of their card",
    "ipykernel": "the kernel of the notebook in docs/",
    "onnxscript": "what torch.onnx writes with",
    "pytest-xdist": "tests in several processes",
    "ruff": "make check",
    "mypy": "make check",
    "types-pyyaml": "make check",
}


def nodes(path):
    """Every import of a file, at its top or in functions, but for those of type checkers."""

    def visit(node):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for child in node.orelse:
                yield from visit(child)
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(path.read_text()))


def imports(path):
    """The dotted names that a file imports."""
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path} has a relative import"
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


def first_party():
    """Module -> the modules of the project that it imports."""
    modules = {name[:-3].replace("/", ".").removesuffix(".__init__"): path for name, path in FILES.items()}
    return {
        name: {other for other in imports(path) if other in modules and not name.startswith(f"{other}.")} - {name}
        for name, path in modules.items()
    }


def room_of(module):
    top, *rest = module.split(".")
    if not rest:
        return top, None
    if (ROOT / top / rest[0]).is_dir():
        return top, rest[0]
    return top, rest[0] if top == "flows" else ""


@pytest.mark.parametrize("name", FILES)
def test_no_file_reaches_up_or_sideways(name):
    assert not {other.partition(".")[0] for other in imports(FILES[name])} & FORBIDDEN[name.partition("/")[0]]


def test_no_module_imports_itself_by_way_of_others():
    graph, done = first_party(), set()

    def follow(name, way):
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                follow(other, [*way, name])
            done.add(name)

    for name in graph:
        follow(name, [])


@pytest.mark.parametrize("top", ["tasks", "flows"])
def test_a_room_imports_only_rooms_before_it(top):
    order, wrong = ROOMS[top], []
    for name, others in first_party().items():
        own_top, own = room_of(name)
        if own_top != top or own is None:
            continue
        for other in others:
            other_top, room = room_of(other)
            if other_top == top and room is not None and order.index(room) > order.index(own):
                wrong.append(f"{name} imports {other}")
    assert not wrong


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_clustering_and_neighbours_leave_torch_out(name):
    graph, found = first_party(), set()
    ahead = [name.removesuffix(".py").replace("/", ".")]
    while ahead:
        found.add(module := ahead.pop())
        ahead.extend(graph[module] - found)
    files = {module.replace(".", "/") for module in found}
    used = [FILES.get(f"{file}.py") or FILES[f"{file}/__init__.py"] for file in files]
    assert "torch" not in {other.partition(".")[0] for path in used for other in imports(path)}


def test_one_module_knows_where_outputs_lie():
    words = ('/ "runs"', '/ "metrics"', '/ "maps"', '"results/', '/ ".covey"')
    # worker.py is sent to machines that have none of the others.
    known = {"tasks/project/paths.py", "tasks/project/project.py", "flows/dask/worker.py"}
    assert not [name for name, path in FILES.items() if name not in known and any(w in path.read_text() for w in words)]


def test_no_two_modules_of_a_package_share_a_name():
    assert not [name for name, path in EVERY.items() if any(path.with_suffix("").glob("*.py"))]
    tests = [Path(name).name for name in EVERY if name.startswith("tests/") and Path(name).name.startswith("test_")]
    assert len(tests) == len(set(tests))


def test_no_file_is_a_hub():
    long = {name: lines for name, path in EVERY.items() if (lines := len(path.read_text().splitlines())) > 300}
    assert not long, f"split these in two: {long}"


def test_functions_do_one_thing():
    long = set()
    for name, path in EVERY.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 > 40:
                    long.add(f"{name}:{node.name}")
    assert long == LONG_BODIES


def test_every_module_says_what_it_is():
    texts = {name: path.read_text() for name, path in FILES.items()}
    assert not [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))]


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    dynamic = project["tool"]["setuptools"]["dynamic"]
    files = [
        name for one in (dynamic["dependencies"], *dynamic["optional-dependencies"].values()) for name in one["file"]
    ]
    assert sorted(files) == sorted(path.name for path in ROOT.glob("requirements*.in"))
    lines = [line.partition("#")[0].strip() for name in files for line in (ROOT / name).read_text().splitlines()]
    declared = {line.translate(str.maketrans("<>=~", "    ")).split()[0].lower() for line in lines if line}
    owners = packages_distributions()
    used = {other.partition(".")[0] for path in EVERY.values() for other in imports(path)}
    used -= {*sys.stdlib_module_names, *TOP, "covey", "benchmarks", "tests"}
    needed = {name: {owner.lower().replace("_", "-") for owner in owners.get(name, ())} for name in used}
    assert not {name for name, own in needed.items() if not own & declared}
    assert declared - set().union(*needed.values()) == set(NOT_IMPORTED)
