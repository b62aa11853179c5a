"""What a reader says of how far it is."""

import pytest

from ssl_models.datasets._common import progress
from ssl_models.datasets._common.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass with each look at the clock."""
    state = {"now": 0.0, "step": 1.0}

    def monotonic():
        state["now"] += state["step"]
        return state["now"]

    monkeypatch.setattr(progress.time, "monotonic", monotonic)
    return state


def test_a_line_has_the_counts_the_rate_and_the_time_left():
    shown = Progress("decoding", 20_000, "pictures")
    shown._done = 12_400
    assert shown.line(40) == "decoding 12,400 of 20,000 pictures · 310/s · 0:24 left"
    shown._done = 2
    assert shown.line(1) == "decoding 2 of 20,000 pictures · 2/s · 2:46:39 left"


@pytest.mark.usefixtures("clock")
def test_a_log_gets_a_line_every_five_seconds(capsys):
    shown = Progress("decoding", 14, "pictures")
    for _ in range(14):
        shown.step()
    shown.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["5", "10", "14"]


def test_what_takes_no_time_says_nothing(clock, capsys):
    clock["step"] = 0.001
    shown = Progress("decoding", 100, "pictures")
    for _ in range(100):
        shown.step()
    shown.close()
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("clock")
def test_a_terminal_has_one_line_that_is_written_over(capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True)
    shown = Progress("decoding", 8, "pictures")
    for _ in range(7):
        shown.step()
    shown.close()
    text = capsys.readouterr().out
    assert (text.count("\r"), text.count("\n"), text[-1]) == (3, 1, "\n")
