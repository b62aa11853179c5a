"""What the best run cost, and what to try next: each piece of advice with the number that speaks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tasks.process.duration import duration
from tasks.reporting.ranking import passes, ranking
from tasks.reporting.runs import PRETRAINED, Run
from tasks.reporting.tables import DataSet, difference

GIB = 2**30
FALLING = 0.02
"""By what share of itself a loss must fall in the last quarter of a training for more of it to be advised."""
COARSE = 2.0
"""How many times as large as it is used a picture's short side must be for a larger size to be advised."""
LARGEST = 224
"""Pixels; what most published encoders were trained with."""
FEW = 5000
"""Training samples below which weights of others are likely to be hard to beat."""
MOST = 4
LABELLED = "labelled"
"""The name of the target that is advised where there are no labels, and of its data."""


def cost(data: DataSet, winner: Run) -> str:
    """What training the run took, and what it was made from: seconds and memory, as far as they are known."""
    lineage = data.lineage(winner)
    learnt = [run for run in lineage if run.training.get("trained", True) and not run.taken]
    if not learnt:
        return "It was not trained here."
    spent = [_seconds(run.training) for run in learnt] + [_seconds(run.cluster) for run in learnt if run.cluster]
    if any(value is None for value in spent):
        return "What it cost is not known here: its outputs, or those that it was made from, came from the cache."
    memory = max((float(run.training.get("peak_memory") or 0) for run in learnt), default=0.0)
    told = f"It took {duration(sum(value or 0.0 for value in spent))}"
    told += f" and {memory / GIB:.1f} GiB of memory" if memory else ""
    machine = ", ".join(str(winner.training[key]) for key in ("device", "precision") if winner.training.get(key))
    told += f" ({machine})" if machine else ""
    others = [run.name for run in learnt[1:]]
    return f"{told}, with {' and '.join(others)}, which it was made from." if others else f"{told}."


def next_steps(data: DataSet, winner: Run) -> list[str]:
    """At most four sentences, those that cost least first."""
    steps = (_more_seeds, _labels, _refit, _longer, _larger, _published)
    return [sentence for step in steps for sentence in step(data, winner)][:MOST]


def _more_seeds(data: DataSet, winner: Run) -> Iterator[str]:
    """A target a run, by the protocol that ranks."""
    ranked = ranking(data)
    top = next((score for run, score, _ in ranked if run is winner), None)
    close = [run.name for run, score, _ in ranked if run is not winner and top and difference(score, top)[1] <= 0]
    if close:
        targets = ", ".join(f"{name}-{ranked[0][2].protocol}" for name in (winner.name, *close))
        yield (
            f"Other seeds, since {', '.join(close[:3])}{' and others' if len(close) > 3 else ''} cannot be told from "
            f"it by one: `covey sweep seeds`, with `targets: [{targets}]` in sweeps/seeds.yaml."
        )


def _labels(data: DataSet, winner: Run) -> Iterator[str]:  # noqa: ARG001
    """As a target, a data set of its own: a table for all pictures would leave out those without a row."""
    if data.prepare.get("labelled") is False and _pictures(data) and LABELLED not in data.protocols:
        block = data.block | {"name": LABELLED, "labels": "labels.csv"}
        target = yaml.safe_dump(
            {LABELLED: {"protocol": "knn", "data": block}}, default_flow_style=True, sort_keys=False, width=100_000
        ).strip()[1:-1]
        yield (
            "Labels for some hundred pictures, a table `file,label`: they measure what is only estimated here, and "
            f"nothing is trained again. Under `targets` of the kind in params.yaml: `{target}`."
        )


def _refit(data: DataSet, winner: Run) -> Iterator[str]:
    if data.refits(winner) or (winner.training.get("trained") is False and not winner.taken):
        return
    yield (
        f"ClusterFit on it, which has no refit yet: `{winner.name}_cf: {{source: {winner.name}, clusters: 128}}` under "
        "`clusterfit` in params.yaml."
    )


def _longer(data: DataSet, winner: Run) -> Iterator[str]:
    """By the loss over the last quarter of the epochs, and by the untrained floor."""
    epochs = winner.training.get("epochs")
    if winner.taken or not epochs:
        return
    fallen = _fallen([row["loss"] for row in winner.curve if "loss" in row])
    if fallen > FALLING:
        because = f"its loss still fell by {100 * fallen:.0f} % in the last quarter of its {epochs} epochs"
    elif _at_the_floor(data, winner):
        because = "it does not pass an untrained network beyond the interval"
    else:
        return
    yield f"A longer training: {because}. `epochs: {2 * epochs}` in its block costs twice the time."


def _fallen(losses: list[float]) -> float:
    """By what share of itself a loss fell in the last quarter of its epochs; 0 where there are fewer than four."""
    if len(losses) < 4 or (before := losses[-1 - len(losses) // 4]) <= 0:
        return 0.0
    return 1 - losses[-1] / before


def _at_the_floor(data: DataSet, winner: Run) -> bool:
    """Whether the winner cannot be told from an untrained network, or is worse."""
    ranked = ranking(data)
    return bool(ranked) and ranked[0][0] is winner and not passes(data, *ranked[0][1:])


def _larger(data: DataSet, winner: Run) -> Iterator[str]:
    """By the short side of the pictures before they were scaled, where the reader tells it."""
    shape, side = _pictures(data), data.prepare.get("side")
    if not shape or not side or winner.taken or shape[-1] >= LARGEST or side < COARSE * shape[-1]:
        return
    size = min(LARGEST, 2 * shape[-1], side)
    yield (
        f"A larger size: pictures are used at {shape[-1]} pixels, and their usual short side is {side:,}. "
        f"`covey run --size {size}` costs some {(size / shape[-1]) ** 2:.0f} times the time."
    )


def _published(data: DataSet, winner: Run) -> Iterator[str]:  # noqa: ARG001
    """Where there is none among the runs, weights that others have trained."""
    if not _pictures(data) or any(run.role == PRETRAINED or run.from_elsewhere for run in data.runs):
        return
    few = data.prepare.get("train")
    because = f", hard to beat with {few:,} training pictures" if isinstance(few, int) and few < FEW else ""
    yield (
        f"Published weights{because}: `{{method: pretrained, encoder: {{name: timm, model: "
        "vit_small_patch16_224.dino}, weights: DEFAULT}` as a run, to be compared and refitted."
    )


def _pictures(data: DataSet) -> list[int]:
    """The shape of a picture as it is used; empty for other data."""
    return list((data.prepare.get("shapes") or {}).get("images") or ())


def _seconds(record: dict[str, Any]) -> float | None:
    value = record.get("training_seconds", record.get("seconds"))
    return None if value is None else float(value)
