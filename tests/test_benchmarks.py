"""The arithmetic of `make bench`, and the README's tables on scores made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from benchmarks import clustering, page, standing, tables, training
from benchmarks.measuring import compare
from benchmarks.rows import MethodRow, Row, Spread, Target
from ssl_models.protocols._common.intervals import wilson
from ssl_models.protocols._common.score import Score
from tasks.project.project import Project
from tasks.reporting.csv_files import COLUMNS
from tasks.staleness import lock_file

PLACE = "# Covey\n\n<!-- table:world -->\n<!-- /table -->\n\nMore words.\n"
TABLE = """\
| top-1, % | linear, best layer | linear, res5 | k-NN | ClusterFit: linear, best layer | ClusterFit: linear, res5 \
| ClusterFit: k-NN | seed |
| --- | --- | --- | --- | --- | --- | --- | --- |
| random | 40.0 res3 (33.5–46.9) | 30.0 | 25.0 | – | – | – | 0 |
| supervised | 90.0 res5 (85.1–93.4) | 90.0 | 91.0 | – | – | – | 0 |
| rotation | 50.0 res4 (43.1–56.9) | 35.0 | 31.0 | **70.0** res5 (63.3–75.9) | **70.0** | 52.0 | 0, 1 |
| simclr | 65.0 res5 (58.2–71.3) | 65.0 | **60.0** | – | – | – | 0 |

*seeds 0, 1, 200 test images, 95 % intervals of at most ± 6.9, from results/world.csv*
"""
HITS = {  # of 200, at res3, res4, res5 of the linear protocol, then k-NN
    ("random", "", 0): (80, 70, 60, 50),
    ("rotation", "", 0): (90, 100, 70, 62),
    ("simclr", "", 0): (90, 120, 130, 120),
    ("supervised", "", 0): (100, 150, 180, 182),
    ("rotation_cf", "rotation", 1): (100, 130, 140, 104),
}


def entry(run: str, source: str, protocol: str, layer: str, hits: int, seed: int, data: str = "world") -> str:
    low, high = wilson(hits, 200)
    return f"{data},{run},{source},{protocol},{layer},top1,{hits / 200!r},{low!r},{high!r},{seed}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A README with a place for a table, and scores that are not filed yet."""
    lines = [",".join(COLUMNS)]
    for (run, source, seed), (*linear, knn) in HITS.items():
        for layer, hits in zip(("res3", "res4", "res5"), linear, strict=True):
            lines.append(entry(run, source, "linear", layer, hits, seed))
        lines.append(f"world,{run},{source},linear,res5,top5,1.0,0.98,1.0,{seed}")
        lines.append(entry(run, source, "knn", "pooled", knn, seed))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "scores.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "README.md").write_text(PLACE)
    return tmp_path


def test_a_suite_has_a_column_a_protocol_and_a_line_a_run(project: Path) -> None:
    readme = project / "README.md"
    readme.write_text(f"{PLACE}\n<!-- suite:world -->\n<!-- /table -->\n")
    assert tables.main([], project) == 0
    heads, _, first, *rest = readme.read_text().split("<!-- suite:world -->\n")[1].splitlines()
    assert heads == "| % | linear (top1) | k-NN (top1) |"
    assert first == "| random | 40.0 | 25.0 |"
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in rest}
    assert lines["↳ rotation_cf"] == "| ↳ rotation_cf | **70.0** | 52.0 |"
    assert lines["simclr"] == "| simclr | 65.0 | **60.0** |"
    assert tables.main(["--check"], project) == 0
    readme.write_text(readme.read_text().replace("**70.0** | 52.0", "**71.0** | 52.0"))
    assert tables.main(["--check"], project) == 1


def test_what_is_piled_up_raises_the_level_in_every_turn() -> None:
    assert training.piled_up([300.0, 400.0, 420.0, 440.0, 460.0]) == 80
    assert training.piled_up([300.0, 400.0, 400.0, 480.0, 400.0]) == 0
    assert training.piled_up([300.0]) == 0


def test_pairs_are_taken_in_turns_and_their_ratios_compared() -> None:
    order: list[str] = []
    ours, other = iter([10.0, 30.0, 90.0]), iter([10.0, 10.0, 10.0])

    def take(name: str, values) -> float:
        order.append(name)
        return next(values)

    result = compare(lambda: take("A", ours), lambda: take("B", other), 3)
    assert order == ["A", "B"] * 3
    assert result == (Spread(30, 10, 90), Spread(10, 10, 10), Spread(3, 1, 9))


@pytest.mark.parametrize(
    ("value", "text"),
    [(17834.2, "17,830"), (1999.6, "2,000"), (275.4, "275"), (12.34, "12.3"), (0.8472, "0.847"), (9.996, "10.00")],
)
def test_numbers_have_the_digits_that_tell(value: float, text: str) -> None:
    assert page.number(value) == text


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("≥", 10, ratio=True), True),
        (Target("≥", 10.1, ratio=True), False),
        (Target("<", 500, ratio=False), False),
        (Target("≤", 500, ratio=False), True),
    ],
)
def test_a_row_is_met_by_its_median(target: Target, met: bool) -> None:
    row = Row("views", "views/s", Spread(500, 1, 999), "", target, "PIL", Spread(50, 1, 99), Spread(10, 1, 99))
    assert row.met is met
    assert page.cells(row)[-1] == ("yes" if met else "**no**")


def test_the_page_shows_what_was_missed_and_how_it_was_measured(capsys: pytest.CaptureFixture) -> None:
    written = page.Page()
    written.add(Row("rerun", "s", Spread(6, 5, 7), "by the clock", Target("<", 5, ratio=False)))
    written.add_method(MethodRow("simclr", Spread(800, 700, 900), Spread(0.05, 0.04, 0.06), 1.4))
    text = written.markdown({"CPU": "two cores"}, 5)
    assert "| rerun | 6.00 (5.00–7.00) s | – | – | < 5 s | **no** |" in text
    assert "- **CPU**: two cores" in text
    assert "- **rerun**: by the clock" in text
    assert "| simclr | 800 (700–900) | 5 % | 1 MiB |" in text
    assert "rerun: ours 6.00 (5.00–7.00) s · target < 5 s · met **no**" in capsys.readouterr().out


def test_a_run_is_copied_with_its_outputs_and_its_entries_in_dvc_lock(tmp_path: Path) -> None:
    project = Project.given(tmp_path, {"data": {"name": "world"}})
    for path in (project.places.encoder("run0") / "encoder.json", project.places.metric("run0", "knn.json")):
        path.parent.mkdir(parents=True)
        path.write_text(path.name)
    lock = tmp_path / "dvc.lock"
    lock_file.write(lock, "prepare", {"cmd": "python -m tasks prepare"})
    outs = [{"path": "metrics/world/run0/knn.json", "md5": "run0run"}]
    lock_file.write(lock, "transfer@run0-knn", {"cmd": "python -m tasks transfer run0 knn", "outs": outs})
    standing.copy_first_run(project, ["run10", "run11"])
    assert project.places.metric("run11", "knn.json").read_text() == "knn.json"
    assert (project.places.encoder("run10") / "encoder.json").exists()
    entries = lock_file.entry_texts(lock)
    assert list(entries) == ["prepare", "transfer@run0-knn", "transfer@run10-knn", "transfer@run11-knn"]
    assert "tasks transfer run11 knn" in entries["transfer@run11-knn"]
    assert "metrics/world/run11/knn.json" in entries["transfer@run11-knn"]
    assert "run0run" in entries["transfer@run11-knn"]
    standing.lengthen(lock)
    assert len(lock_file.entry_texts(lock)) == 4 + standing.LATER


def test_features_to_cluster_are_the_same_each_time_and_of_unit_length() -> None:
    features = clustering.make(500)
    assert features.shape == (500, clustering.FEATURES)
    numpy.testing.assert_allclose(numpy.linalg.norm(features.astype(float), axis=1), 1, atol=1e-2)
    numpy.testing.assert_array_equal(features, clustering.make(500))


def test_the_commit_is_gits_word_or_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert page.commit(tmp_path) == "unknown"
    (tmp_path / "git").write_text("#!/bin/sh\necho 0123456789ab-dirty\n")
    (tmp_path / "git").chmod(0o755)
    assert page.commit(tmp_path) == "0123456789ab-dirty"


@pytest.mark.parametrize(("hits", "trials"), [(0, 50), (7, 7), (1, 3), (1024, 2048), (9999, 10000)])
def test_a_wilson_interval_tells_its_trials(hits: int, trials: int) -> None:
    assert tables.trials_of(Score("", "top1", hits / trials, *wilson(hits, trials))) == trials


def test_another_interval_tells_none() -> None:
    assert tables.trials_of(Score("", "top1", 0.5, 0.4123, 0.6)) is None


def test_the_table_is_written_and_stays(project: Path) -> None:
    assert tables.main([], project) == 0
    first = (project / "README.md").read_text()
    assert first == PLACE.replace("-->\n<!-- /", f"-->\n{TABLE}<!-- /")
    assert (project / "results/world.csv").read_bytes() == (project / "results/scores.csv").read_bytes()
    assert tables.main([], project) == 0
    assert (project / "README.md").read_text() == first


def test_check_finds_a_table_that_is_not_what_the_scores_give(project: Path, capsys: pytest.CaptureFixture) -> None:
    tables.main([], project)
    (project / "results/scores.csv").unlink()  # it is not looked at: the README stands on results/world.csv
    assert tables.main(["--check"], project) == 0
    readme = project / "README.md"
    readme.write_text(readme.read_text().replace("65.0 res5", "75.0 res5"))
    assert tables.main(["--check"], project) == 1
    assert "table of world is not what results/ holds; run `make tables`" in capsys.readouterr().err


def test_a_readme_without_the_place_is_refused_and_nothing_written(
    project: Path, capsys: pytest.CaptureFixture
) -> None:
    (project / "README.md").write_text("# Covey\n")
    assert tables.main([], project) == 1
    assert tables.main(["--check"], project) == 1
    assert "add the lines <!-- table:NAME --> and <!-- /table -->" in capsys.readouterr().err
    (project / "README.md").write_text(PLACE.replace("world", "cifar10"))
    assert tables.main([], project) == 1
    assert "no place for the table of world: add the lines <!-- table:world -->" in capsys.readouterr().err
    assert not (project / "results/world.csv").exists()


def test_scores_of_two_data_sets_are_filed_apart(project: Path) -> None:
    scores = project / "results/scores.csv"
    world = scores.read_text()
    scores.write_text(world + entry("simclr", "", "knn", "pooled", 20, 0, data="photos") + "\n")
    (project / "README.md").write_text(PLACE + PLACE.replace("world", "photos"))
    assert tables.main([], project) == 0
    assert (project / "results/world.csv").read_text() == world
    assert "| simclr | – | – | **10.0** | – | – | – | 0 |" in (project / "README.md").read_text()


def test_two_seeds_of_one_run_are_refused(project: Path, capsys: pytest.CaptureFixture) -> None:
    with open(project / "results/scores.csv", "a") as file:
        file.write(entry("simclr", "", "knn", "pooled", 20, 7) + "\n")
    assert tables.main([], project) == 1
    assert "run 'simclr' has more than one seed" in capsys.readouterr().err
