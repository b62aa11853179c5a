"""What is said of an error that a library raises."""

import subprocess
import sys

import pytest

from ssl_models.encoders.library import built
from ssl_models.errors import first_line


@pytest.mark.parametrize(
    ("words", "said"), [("  one\ntwo", "one"), ("one\r\ntwo", "one"), (" \n", "RuntimeError"), ("x" * 9, "x" * 5)]
)
def test_it_is_the_first_line_or_the_error_s_name(words, said):
    assert first_line(RuntimeError(words), 12 if said == "RuntimeError" else 5) == said


def test_a_network_that_fails_without_a_word_names_the_error():
    def make(_model):
        raise AssertionError

    with pytest.raises(ValueError, match=r"of timm cannot be made with its defaults: AssertionError$"):
        built("timm", make, "vit", {})


def test_what_tells_faults_loads_no_torch():
    code = "import sys, tasks.process.faults; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
