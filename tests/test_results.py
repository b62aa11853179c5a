"""What is committed in results/: the protocols tell a trained network from an untrained one."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RANKING = {
    "linear": "top1",
    "knn": "top1",
    "retrieval": "map_at_r",
    "voc_map": "map",
    "semi_supervised": "top1_at_10",
    "finetune": "top1",
    "scenes_voc_map": "map",
    "scenes_detection": "ap",
    "scenes_normals": "within_11",
    "objects_keypoints": "pck_at_20",
}
"""Protocol -> its headline; those left out, invariance and embedding, do not say which network is better."""
PROBES = {"invariance", "embedding"}


def scores(run: str) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(protocol, metric) -> the intervals of a run on the world, a layer each."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with (ROOT / "results/world.csv").open() as file:
        for row in csv.DictReader(file):
            if row["run"] == run:
                ends = (float(row["low"]), float(row["high"]))
                found.setdefault((row["protocol"], row["metric"]), []).append(ends)
    return found


def test_every_protocol_that_was_run_is_looked_at() -> None:
    assert {protocol for protocol, _ in scores("supervised")} == set(RANKING) | PROBES


@pytest.mark.parametrize("protocol", RANKING)
def test_supervised_beats_random_beyond_the_interval(protocol: str) -> None:
    """Else the protocol would measure nothing. Each at its best layer."""
    key = (protocol, RANKING[protocol])
    assert max(low for low, _ in scores("supervised")[key]) > max(high for _, high in scores("random")[key])
