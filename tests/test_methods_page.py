"""METHODS.md's tables, on two seeds of a small run made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import methods
from tasks.reporting.csv_files import COLUMNS, COST_COLUMNS, RUN_COLUMNS

PAGE = "# Methods\n\n" + "".join(
    f"<!-- {kind}:world -->\n<!-- /table -->\n\n" for kind in ("transfer", "refits", "costs")
)
TOP1 = {  # run -> seed -> conv1, res5, k-NN in %
    "random": ((50, 20, 10), (52, 20, 12)),
    "rotation": ((55, 40, 30), (55, 44, 32)),
    "rotation_cf": ((54, 60, 50), (54, 62, 50)),
}


def file_run(root: Path, seed: int, *, runs: dict = TOP1) -> None:
    """The two files that a run of the pipeline leaves."""
    scores, facts, costs = [",".join(COLUMNS)], [",".join(RUN_COLUMNS)], [",".join(COST_COLUMNS)]
    for run, by_seed in runs.items():
        source = run.removesuffix("_cf") if run.endswith("_cf") else ""
        for (protocol, layer), value in zip(
            (("linear", "conv1"), ("linear", "res5"), ("knn", "pooled")), by_seed[seed], strict=True
        ):
            scores.append(f"world,{run},{source},{protocol},{layer},top1,{value / 100},,,{seed}")
            scores.append(f"world,{run},{source},{protocol},{layer},top5,0.99,,,{seed}")
        if run == "rotation":
            scores.append(f"world,{run},{source},label_free,pooled,rankme,{7.25 + seed},,,{seed}")
        told = {
            "data": "world",
            "run": run,
            "source": source,
            "seed": seed,
            "family": "predictive",
            "method": "rotation",
        }
        told |= {"reference": "Gidaris", "samples_seen": 800, "views_seen": 3200, "chance": 1.386, "loss": 0.5}
        spent = {"data": "world", "run": run, "stage": "training", "seconds": 2.5, "training_seconds": 1.6}
        spent |= {"samples_per_second": 500 + 100 * seed, "peak_memory": 2**30}
        told |= {"precision": "bf16", "device": "cpu"} | (
            {"family": "control", "device": ""} if run == "random" else {}
        )
        facts.append(",".join(str(told.get(name, "")) for name in RUN_COLUMNS))
        costs.append(",".join(str(spent.get(name, "")) for name in COST_COLUMNS))
    (root / "results").mkdir(exist_ok=True)
    (root / "results/scores.csv").write_text("\n".join(scores) + "\n")
    (root / "results/runs.csv").write_text("\n".join(facts) + "\n")
    (root / "results/costs.csv").write_text("\n".join(costs) + "\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "METHODS.md").write_text(PAGE)
    file_run(tmp_path, 0)
    return tmp_path


def test_what_the_recipe_changed_is_shown_beside_what_was_before(root: Path) -> None:
    (root / "METHODS.md").write_text("<!-- recipe:world -->\n<!-- /table -->\n")
    before = ["world,rotation,,linear,res5,top1,0.285,,,0"]
    (root / "results/methods").mkdir(parents=True)
    (root / "results/methods/world.before.csv").write_text("\n".join([",".join(COLUMNS), *before]) + "\n")
    assert methods.main([], root) == 0
    rows = [line for line in (root / "METHODS.md").read_text().splitlines() if line.startswith("| r")]
    assert rows == ["| rotation | 28.5 | 40.0 (+11.5) | +20.0 | – | 30.0 (–) | +20.0 |"]


def test_one_seed_is_filed_and_told(root: Path) -> None:
    assert methods.main([], root) == 0
    page = (root / "METHODS.md").read_text()
    filed = (root / "results/methods/world.seed0.scores.csv").read_text()
    assert filed == (root / "results/scores.csv").read_text()
    assert "| random | control | 50.0 conv1 | 50.0 | – | – | – | 20.0 | 10.0 | – | – | – |" in page
    assert (
        "| rotation | predictive | **55.0** conv1 | **55.0** | – | – | – | **40.0** | **30.0** "
        "| **60.0** | **60.0** | **50.0** |"
    ) in page
    assert "*seed 0; trained on cpu bf16; from" in page
    assert methods.main(["--check"], root) == 0


def test_two_seeds_are_means_with_their_deviation(root: Path) -> None:
    methods.main([], root)
    file_run(root, 1)
    assert methods.main([], root) == 0
    page = (root / "METHODS.md").read_text()
    assert "| rotation_cf | rotation | rotation | 61.0 ± 1.4 (+6.0) | 61.0 ± 1.4 (+19.0) | 50.0 ± 0.0 (+19.0) |" in page
    assert "| rotation | rotation | Gidaris | 800 | 3,200 | 1.386 | 0.500 | 7.8 | 550 | 2 | 1,024 |" in page
    assert "*seeds 0, 1; trained on cpu bf16; ± is one standard deviation over the seeds; from" in page
    assert methods.main([], root) == 0
    assert (root / "METHODS.md").read_text() == page


def test_check_finds_a_number_changed_by_hand(root: Path, capsys: pytest.CaptureFixture) -> None:
    methods.main([], root)
    path = root / "METHODS.md"
    path.write_text(path.read_text().replace("55.0", "65.0"))
    assert methods.main(["--check"], root) == 1
    assert "run `make methods`" in capsys.readouterr().err
    assert "65.0" in path.read_text()


def test_a_table_of_data_that_were_never_run_is_refused(root: Path, capsys: pytest.CaptureFixture) -> None:
    (root / "METHODS.md").write_text("<!-- costs:cifar10 -->\n<!-- /table -->\n")
    assert methods.main([], root) == 1
    assert "holds no run of it: run it with --all" in capsys.readouterr().err


def test_the_page_is_what_the_filed_runs_give() -> None:
    assert methods.main(["--check"], Path(__file__).parents[1]) == 0


def test_trainings_that_are_not_selected_stay_filed(root: Path) -> None:
    methods.main([], root)
    filed = root / "results/methods/world.seed0.scores.csv"
    before = filed.read_text()
    for table in ("scores", "runs"):
        path = root / f"results/{table}.csv"
        head, *lines = path.read_text().splitlines()
        kept = [line for line in lines if ",rotation," in line]
        path.write_text("\n".join([head, *kept]) + "\n")
    assert methods.main([], root) == 0
    assert sorted(filed.read_text().splitlines()) == sorted(before.splitlines())
    assert methods.main(["--check"], root) == 0


def sweep(root: Path, name: str, heads: str, rows: list[str]) -> None:
    """A sweep's table of scores, and the place of its table on the page."""
    path = root / f"results/sweeps/{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"point,seed,{heads}run,protocol,layer,metric,value,low,high", *(f"{row},," for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    (root / "METHODS.md").write_text(PAGE + f"<!-- sweep:{name} -->\n<!-- /table -->\n")


def test_a_sweep_is_a_column_for_each_setting(root: Path) -> None:
    scores = {("plain", "rotation"): (50, 54), ("plain", "random"): (90, 90), ("rough", "rotation"): (30, 30)}
    scores[("rough", "simclr")] = (40, 40)
    sweep(
        root,
        "corners",
        "data,",
        [
            f"p,{seed},{data},{run},linear,res5,top1,{value / 100}"
            for (data, run), values in scores.items()
            for seed, value in enumerate(values)
        ]
        + ["p,0,rough,simclr,knn,pooled,top1,0.25", "p,0,rough,simclr,linear,res5,top5,0.99"],
    )
    assert methods.main([], root) == 0
    page = (root / "METHODS.md").read_text()
    assert "| top-1, %: res5 / k-NN | plain | rough |" in page
    assert "| rotation | **52.0 ± 2.8** | 30.0 ± 0.0 |" in page
    assert "| random | 90.0 ± 0.0 | – |" in page, "a control is never the best"
    assert "| simclr | – | **40.0 ± 0.0** / 25.0 |" in page
    assert "*seeds 0, 1; ± is one standard deviation over the seeds; from results/sweeps/corners.csv*" in page
    assert methods.main(["--check"], root) == 0


def test_a_sweep_of_one_setting_stands_beside_the_default(root: Path) -> None:
    sweep(
        root,
        "equal_seconds",
        "",
        [
            "p,0,rotation,training,,epochs,12",
            "p,0,rotation,training,,seconds,61.4",
            "p,0,rotation,linear,conv1,top1,0.7",
            "p,0,rotation,linear,res5,top1,0.6",
            "p,0,rotation,linear,pooled,top1,0.8",
        ],
    )
    assert methods.main([], root) == 0
    page = (root / "METHODS.md").read_text()
    assert "| rotation | 12 | 61 | 70.0 conv1 (55.0) | 60.0 (40.0) | – (30.0) |" in page


@pytest.mark.parametrize("begun", [False, True])
def test_a_sweep_that_was_not_run_is_named(root: Path, capsys: pytest.CaptureFixture[str], *, begun: bool) -> None:
    sweep(root, "night", "data,", [])
    if not begun:
        (root / "results/sweeps/night.csv").unlink()
    assert methods.main([], root) == 1
    assert "the sweep night, which has not been run: covey sweep night" in capsys.readouterr().err
