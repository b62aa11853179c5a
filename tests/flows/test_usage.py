"""What the command line says to words that it cannot take."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows.cli import app


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "run --size 0",
            "'--size': Input should be greater than or equal to 1; see `covey run --help`.",
        ),
        ("embed", "Missing argument 'run'; see `covey embed --help`."),
        ("export rotation -o x", "Missing option '--to'; see `covey export --help`."),
        ("gc now", "Got unexpected extra argument(s) (now); see `covey gc --help`."),
        ("gc --older-than", "Option '--older-than' requires an argument; see `covey gc --help`."),
        ("statsu", "see `covey --help`."),
    ],
)
def test_a_mistake_of_usage_is_one_line(words, told):
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("covey: ")
    assert line.endswith(told)


def test_without_a_command_the_help_is_shown():
    result = CliRunner().invoke(app, [])
    assert "Usage: covey" in result.stdout or "Usage: root" in result.stdout
    assert "covey: " not in result.output
