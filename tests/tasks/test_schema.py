"""Schemas are read from source, and agree with what an import would say."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from tasks.settings.schema import Field, ParameterError, check_block, keywords, offered, parse_yaml, unknown

CODE = Path(__file__).parents[2] / "ssl_models"
METHODS = sorted(path.stem for path in (CODE / "methods").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", METHODS)
def test_the_schema_read_from_source_is_the_signature(name):
    path = CODE / "methods" / f"{name}.py"
    method = import_module(f"ssl_models.methods.{name}").METHOD
    expected = {
        parameter.name: parameter.default is inspect.Parameter.empty
        for parameter in inspect.signature(method.__init__).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    found = keywords(path, offered(path, "METHOD"))
    assert {key: field.required for key, field in found.items()} == expected


def test_a_dataclass_gives_its_fields(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("class Settings:\n    epochs: int\n    rate: float = 0.1\n")
    assert keywords(path, "Settings") == {"epochs": Field("int", True), "rate": Field("float", False)}


def test_a_module_without_the_name_is_refused(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("x = 1\n")
    with pytest.raises(ParameterError, match="no function or class 'evaluate'"):
        keywords(path, "evaluate")
    with pytest.raises(ParameterError, match="must end with 'METHOD = "):
        offered(path, "METHOD")


@pytest.mark.parametrize(
    ("annotation", "value", "fits"),
    [
        ("int", 3, True),
        ("int", 3.0, False),
        ("int", True, False),
        ("float", 3, True),
        ("float", "3", False),
        ("float", False, False),
        ("bool", True, True),
        ("int | None", None, True),
        ("str", None, False),
        ("list[float]", [0.1], True),
        ("Tensor", object(), True),
    ],
)
def test_values_are_held_to_plain_annotations(annotation, value, fits):
    assert Field(annotation, False).accepts(value) is fits


def test_a_missing_required_key_is_named():
    with pytest.raises(ParameterError, match=r"here: 'clusters' is missing \(int\)"):
        check_block({}, {"clusters": Field("int", True)}, "here")


def test_nothing_close_means_no_guess():
    assert "Did you mean" not in str(unknown("method", "zzz", ["rotation"], "here"))


def test_numbers_are_read_as_dvc_writes_them():
    """PyYAML alone takes 1e-05 for a text."""
    text = "a: 1e-05\nb: 0.001\nc: -2E+3\nd: 1.5e3\ne: 1e5x\nf: '1e5'\ng: 7\n"
    found = {"a": 1e-05, "b": 0.001, "c": -2000.0, "d": 1500.0, "e": "1e5x", "f": "1e5", "g": 7}
    assert parse_yaml(text) == found
