"""The page of studies and the README's board, on outcomes made by hand: bars, lines, and a single seed."""

from __future__ import annotations

import math
import re
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks import studies as readme_board
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.studies import board, plots
from tasks.studies import numbers as study_numbers
from tests.tasks.outcomes import ALONE, BARS, LINES


class Page(HTMLParser):
    """Every tag with its attributes, and all words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with three outcomes, and a study that has not been run."""
    for outcome in (BARS, LINES, ALONE):
        board.file(Project(tmp_path), outcome)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "layers.yaml").write_text("title: Late layers transfer worse\nclaim: A claim.\n")
    return tmp_path


def drawn(**changes: Any) -> str:
    """The words of the figure of BARS with changes."""
    return Page(plots.figure({**BARS, **changes}, "s")).words


def test_an_outcome_is_kept_with_its_machine_and_read_again(tmp_path: Path) -> None:
    assert board.outcomes(Project(tmp_path)) == []
    path = board.file(Project(tmp_path), LINES)
    board.file(Project(tmp_path), BARS)
    assert path == tmp_path / "results" / "studies" / "label_noise.json"
    first, second = board.outcomes(Project(tmp_path))
    assert (first["name"], second["name"]) == ("label_noise", "refit_gain")
    assert {**first, "machine": ""} == {**LINES, "machine": ""}
    assert re.fullmatch(r".+, \d+ cores", first["machine"])


def test_what_is_no_number_is_kept_as_null_and_told(tmp_path: Path) -> None:
    rule = {**ALONE["rules"][0], "difference": math.nan}
    board.file(Project(tmp_path), {**ALONE, "rules": [rule], "seeds": [0, 1]})
    kept = board.outcomes(Project(tmp_path))[0]["rules"][0]
    assert kept["difference"] is None
    assert board.rule_text(kept) == "no number, open"
    assert board.in_words(kept) == "It is open: the difference is no number."
    assert "no number, open" in board.write(Project(tmp_path)).read_text()


def test_a_file_that_cannot_be_read_is_named(root: Path) -> None:
    broken = root / "results" / "studies" / "label_noise.json"
    broken.write_text("{")
    with pytest.raises(ValueError, match=r"label_noise\.json is no outcome of a study .* run the study again"):
        board.write(Project(root))


def test_rules_are_told_with_their_intervals() -> None:
    holds, _ = BARS["rules"]
    fails, opened = LINES["rules"]
    assert board.rule_text(holds) == "+0.031 (+0.012 to +0.051) holds"
    assert board.rule_text(ALONE["rules"][0]) == "-0.120 (one seed) open"
    assert board.in_words(holds) == "The difference is +0.031, 95 % interval +0.012 to +0.051. It holds."
    tested = holds | {"p": 0.0041, "corrected": 0.0082}
    assert board.in_words(tested).endswith("interval +0.012 to +0.051, p 0.004, corrected 0.008. It holds.")
    assert board.in_words(fails).endswith("It fails.")
    assert board.in_words(opened).endswith("It is open.")
    told = "It is open: 14 seeds would tell a difference of this size with a probability of 0.8."
    assert board.in_words(opened | {"seeds_needed": 14}).endswith(told)
    at_floor = opened | {"seeds_needed": 14, "at_floor": True}
    assert board.in_words(at_floor).endswith("lies 3 points above what an untrained network scores.")
    assert board.in_words(ALONE["rules"][0]) == "The difference is -0.120. It is open: one seed gives no interval."


def test_the_board_has_a_row_a_study_and_says_what_was_not_run(root: Path) -> None:
    text = board.write(Project(root)).read_text()
    words = " ".join(Page(text).words.split())
    assert "Of 4 claims, 1 is reproduced, 1 is not reproduced, 1 is undecided and 1 is not run." in words
    rows = re.findall(r"<tr>.*?</tr>", text[text.index("<tbody>") : text.index("</tbody>")], re.DOTALL)
    names = ("Clusters forgive wrong labels", "Late layers", "A pretext task", "Refitting on clusters")
    assert [name in row for name, row in zip(names, rows, strict=True)] == [True] * 4
    assert 'class="mark not-reproduced"' in rows[0]
    assert "-0.041 (-0.060 to -0.022) fails" in rows[0]
    assert "1 h 15 min" in rows[0]
    assert "covey study layers" in rows[1]
    assert "It has not been run" in words
    assert "seeds 0, 1, 2, 3, 16 points in 1 h 15 min" in words
    assert "seed 0, 1 point in 1 min 01 s" in words
    for outcome in (BARS, LINES, ALONE):
        assert all(outcome[key] in words for key in ("title", "claim", "source", "remark"))


def test_the_page_stands_by_itself_and_its_ids_are_its_own(root: Path) -> None:
    path = board.write(Project(root))
    page = Page(path.read_text())
    ids = [named for _, attributes in page.tags if (named := attributes.get("id"))]
    assert len(ids) == len(set(ids))
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "iframe")]
    links = {a.get("href") or "" for tag, a in page.tags if tag in ("a", "use")}
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert not re.search(r"https?://|url\((?!#)", path.read_text())
    first = path.read_bytes()
    assert board.write(Project(root)).read_bytes() == first


def test_the_report_is_linked_where_there_is_one(tmp_path: Path) -> None:
    link = '<a class="data" href="report.html">'
    assert link not in board.write(Project(tmp_path)).read_text()
    (tmp_path / paths.REPORT).write_text("")
    assert link in board.write(Project(tmp_path)).read_text()


def test_no_study_at_all_is_a_page_too(tmp_path: Path) -> None:
    assert "There is no study yet." in board.write(Project(tmp_path)).read_text()


def test_what_a_study_says_is_never_markup(tmp_path: Path) -> None:
    hostile = "<script>alert('$x$')</script> & \"q\""
    changed = dict.fromkeys(("title", "claim", "source", "remark"), hostile)
    published = {"measure": hostile, "numbers": {hostile: 3, "_hidden": 4}}
    ours = {hostile: {"": [0.5, None, None]}}
    board.file(Project(tmp_path), {**BARS, **changed, "published": published, "ours": ours})
    page = Page(board.write(Project(tmp_path)).read_text())
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.words.count(hostile) >= 5


def test_numbers_are_bars_and_shares_per_cent() -> None:
    words = drawn()
    assert all(text in words for text in ("66.6", "jigsaw, refitted", "54.3", "jigsaw refitted"))
    assert "%, mean of 3 seeds, 95 % interval" in words
    assert "%, mAP" not in words
    words = drawn(ours={"loss": {"": [1.5, 1.4, 1.6]}, "share": {"": [0.5, 0.4, 0.6]}}, seeds=[0])
    assert "1.5" in words
    assert "0.5" in words
    assert "one seed" in words
    assert "%, one seed" not in words


def test_lines_stand_on_the_axis_and_what_has_no_place_goes_across() -> None:
    words = Page(plots.figure(LINES, "s")).words
    assert words.count("label noise") == 2
    assert all(text in words for text in ("0.25", "0.75", "untrained", "top-1 on ImageNet-9K, linear"))


def test_a_single_seed_has_bars_without_intervals() -> None:
    words = Page(plots.figure(ALONE, "s")).words
    assert all(text in words for text in ("58.0", "46.0", "47.2", "%, one seed"))


def test_numbers_have_the_digits_that_they_need() -> None:
    shown = [plots.number(value, False) for value in (58.0, 0.1234567, 16000)]
    assert shown == ["58", "0.1235", "16,000"]
    assert plots.number(58, True) == "58.0"


def test_a_figure_without_numbers_says_so() -> None:
    empty = {"published": {"measure": "m", "numbers": {}}, "ours": {"a": {"": [None, None, None]}}}
    assert drawn(**empty).count("no numbers") == 2


@pytest.mark.parametrize("number", ["66.6 ± 0.3", True, {"res5": "high"}, ["a"], {"res5": {"deep": 1}}])
def test_published_text_in_place_of_a_number_is_refused(number: Any) -> None:
    with pytest.raises(ParameterError, match=r"study s: published: numbers: jigsaw holds .* must be a number, a list"):
        study_numbers.of_published({"jigsaw": number}, "s")


def test_published_numbers_have_one_form() -> None:
    numbers = {"one": 3, "line": {0.25: 1, "res5": None}, "list": [5, 6]}
    found = study_numbers.of_published(numbers, "s")
    assert found["one"] == {"": (3, None, None)}
    assert found["line"] == {"0.25": (1, None, None)}
    assert found["list"] == {"1": (5, None, None), "2": (6, None, None)}


def test_the_same_label_has_the_same_colour_however_it_is_spelt() -> None:
    found = study_numbers.colours(["ClusterFit", "pre-trained", "pre trained", "clusterfit", "other"])
    assert found["ClusterFit"] == found["clusterfit"]
    assert found["pre-trained"] == found["pre trained"]
    assert len(set(found.values())) == 3


def test_places_that_would_touch_have_no_number() -> None:
    assert plots._apart({"0": 0, "0.01": 0.01, "0.1": 0.1, "1": 1}) == ["0", "0.1", "1"]
    assert plots._apart({"7": 7}) == ["7"]


RULE = r"jigsaw \> rotation: -0.120 (one seed) open"
BOARD = f"""| claim | verdict | rules: difference (95 % interval) | seeds | time |
| --- | --- | --- | --- | --- |
| The last \\| one. | **undecided** | {RULE} | 1, full | 1 min 01 s |
"""


def test_the_readme_has_a_row_a_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Covey\n\n<!-- studies -->\n<!-- /table -->\nend\n")
    assert readme_board.main([], tmp_path) == 0
    assert "No study has been run yet" in readme.read_text()
    board.file(Project(tmp_path), {**deepcopy(ALONE), "claim": "The last |\none."})
    assert readme_board.main(["--check"], tmp_path) == 1
    assert "run `make tables`" in capsys.readouterr().err
    assert readme_board.main([], tmp_path) == 0
    text = readme.read_text()
    assert BOARD in text
    assert text.endswith("<!-- /table -->\nend\n")
    assert readme_board.main(["--check"], tmp_path) == 0
    board.file(Project(tmp_path), LINES)
    readme_board.main([], tmp_path)
    assert "(-0.060 to -0.022) fails<br>" in readme.read_text()


def test_outcomes_without_a_place_in_the_readme_are_refused(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert readme_board.main(["--check"], root) == 1
    assert "there is no" in capsys.readouterr().err
    (root / "README.md").write_text("# Covey\n")
    assert readme_board.main([], root) == 1
    assert "add the lines <!-- studies --> and <!-- /table -->" in capsys.readouterr().err
    assert (root / "README.md").read_text() == "# Covey\n"


def test_the_readmes_board_is_what_the_outcomes_give() -> None:
    assert readme_board.main(["--check"], Path(__file__).parents[2]) == 0
