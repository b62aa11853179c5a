from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from tasks.tracking.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "work" / "journal.jsonl")


def fill(journal: Journal, steps: int) -> None:
    for step in range(steps):
        journal.append(step, {"loss": 1 / (step + 1)})


def test_what_is_appended_is_read(journal: Journal) -> None:
    assert journal.read() == []
    before = time.time() * 1000
    written = [journal.append(0, {"loss": 0.5, "accuracy": 0.1}), journal.append(5, {"loss": math.inf})]
    assert journal.read() == written
    assert before <= written[0].time <= written[1].time <= time.time() * 1000
    assert journal.rows() == [{"step": 0, "loss": 0.5, "accuracy": 0.1}, {"step": 5, "loss": math.inf}]


def test_a_loss_that_is_no_number_is_kept(journal: Journal) -> None:
    journal.append(0, {"loss": math.nan})
    assert math.isnan(journal.read()[0].values["loss"])


def test_each_line_is_json_with_step_time_and_values(journal: Journal) -> None:
    journal.append(3, {"loss": 0.25})
    (line,) = journal.path.read_text().splitlines()
    content = json.loads(line)
    assert sorted(content) == ["step", "time", "values"]
    assert (content["step"], content["values"]) == (3, {"loss": 0.25})


def test_a_cut_drops_what_came_after_and_keeps_the_times(journal: Journal) -> None:
    fill(journal, 5)
    kept = journal.read()[:3]
    journal.cut(2)
    assert journal.read() == kept
    journal.append(3, {"loss": 9.0})
    assert [entry.step for entry in journal.read()] == [0, 1, 2, 3]
    assert list(journal.path.parent.iterdir()) == [journal.path]


def test_a_cut_before_the_first_step_empties_and_needs_no_file(journal: Journal) -> None:
    journal.cut(-1)
    fill(journal, 2)
    journal.cut(-1)
    assert journal.read() == []
    fill(journal, 1)


@pytest.mark.parametrize("half", ['{"step": 3, "ti', '{"step": 3, "time": 1.0, "values": {"loss": 1.0}}', "\x00\x00"])
def test_half_a_line_at_the_end_is_passed_over_and_never_glued_to(journal: Journal, half: str) -> None:
    fill(journal, 3)
    with open(journal.path, "a") as file:
        file.write(half)
    again = Journal(journal.path)
    assert [entry.step for entry in again.read()] == [0, 1, 2]
    again.append(3, {"loss": 7.0})
    assert [entry.values["loss"] for entry in again.read()] == [1.0, 1 / 2, 1 / 3, 7.0]


def test_cut_removes_half_a_line(journal: Journal) -> None:
    fill(journal, 3)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"step"')
    journal.cut(10)
    assert journal.path.read_bytes() == whole


def test_damage_elsewhere_is_an_error_that_names_file_and_line(journal: Journal) -> None:
    fill(journal, 2)
    journal.path.write_text("rubbish\n" + journal.path.read_text())
    with pytest.raises(ValueError, match=r"journal\.jsonl, line 1: not a journal entry"):
        journal.read()


def test_a_step_that_is_there_already_is_refused(journal: Journal) -> None:
    fill(journal, 3)
    for writer in (journal, Journal(journal.path)):
        with pytest.raises(ValueError, match="step 2 comes after step 2; cut the journal"):
            writer.append(2, {"loss": 0.0})
