"""The records of a pipeline's runs, and the tables made of them: scores put into order and compared.

Imports nothing heavy: the table at the end of a run is made from here too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ssl_models.protocols._common.baselines import BASELINES
from ssl_models.protocols._common.score import Score
from ssl_models.protocols._common.statement import SHARE, Statement, giving, names, statement
from tasks.reporting.imprint import Gap
from tasks.reporting.runs import Record, Run


@dataclass(frozen=True)
class DataSet:
    """One data set's records. missing: files that the pipeline should have written but that are not there.

    gaps: the stages that left no numbers, and why. block: its settings in params.yaml, as far as they are known.
    """

    name: str
    runs: list[Run]
    prepare: Record = field(default_factory=dict)
    samples: Record = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    gaps: tuple[Gap, ...] = ()
    block: Record = field(default_factory=dict)

    @property
    def protocols(self) -> list[str]:
        """Every protocol asked for, in the order of the parameters."""
        return list(dict.fromkeys(protocol for run in self.runs for protocol in run.protocols))

    def refits(self, source: Run) -> list[Run]:
        """The ClusterFit runs that learnt from this one."""
        return [run for run in self.runs if run.source == source.name]

    def descendants(self, source: Run) -> list[Run]:
        """Its refits, each followed by the refits of that one."""
        return [run for refit in self.refits(source) for run in (refit, *self.descendants(refit))]

    def lineage(self, run: Run) -> list[Run]:
        """A run, the one that it learnt from, the one that this learnt from, and so on."""
        found = [run]
        while source := next((other for other in self.runs if other.name == found[-1].source), None):
            if source in found:
                break
            found.append(source)
        return found


@dataclass(frozen=True)
class Measure:
    """A metric of a protocol and how to show it. factor: 100 where shares are stored as 0 to 1."""

    protocol: str
    metric: str
    factor: float
    share: bool

    @property
    def unit(self) -> str:
        return "\u00a0%" if self.share else ""

    def number(self, value: float | None, sign: bool = False) -> str:
        """The value as text, with a true minus sign; a dash for what is unknown."""
        if value is None or not math.isfinite(value):
            return "–"
        digits = 1 if self.share or abs(value * self.factor) >= 10 else 3
        return f"{value * self.factor:{'+' if sign else ''}.{digits}f}".replace("-", "−")

    def interval(self, low: float, high: float, sign: bool = False) -> str:
        """ "61.8–64.6", of numbers below 0 "−2.2 to −2.1", with signs "−0.3 to +2.1"; empty where it is unknown."""
        if not (math.isfinite(low) and math.isfinite(high)):
            return ""
        return f"{self.number(low, sign)}{' to ' if sign or low < 0 else '–'}{self.number(high, sign)}"


@dataclass(frozen=True)
class Gain:
    """What a refit added to its source, in the metric's stored unit, with the interval of the difference."""

    source: Run
    refit: Run
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        return "gain" if self.low > 0 else "loss" if self.high < 0 else "within"


def measure(data: DataSet, protocol: str, metric: str) -> Measure:
    """How to show a metric: shares in per cent, whether stored as 0 to 1 or as 0 to 100."""
    values = [abs(s.value) for run in data.runs for s in run.scores(protocol, metric) if math.isfinite(s.value)]
    share = stated(data, protocol).unit(metric) == SHARE
    return Measure(protocol, metric, 100.0 if share and max(values, default=0.0) <= 1 else 1.0, share)


def metrics(data: DataSet, protocol: str) -> list[str]:
    """The protocol's metrics in the order in which they are first met."""
    return list(dict.fromkeys(score.metric for run in data.runs for score in run.scores(protocol)))


def stated(data: DataSet, name: str) -> Statement:
    """What the protocol of this name states of itself, or that of the target of this name.

    A target's records name its protocol. Those made of a scores.csv do not: there its metrics tell.
    """
    named = (str(r["protocol"]) for run in data.runs if "protocol" in (r := run.protocols.get(name, {})))
    kind = next(named, name)
    found = giving(metrics(data, name)) if kind not in names() else None
    return found or statement(kind)


def headline_measures(data: DataSet) -> list[Measure]:
    """The headline metric of each protocol that ranks representations; first that of the protocol that leads.

    What only estimates comes last.
    """
    chosen = []
    for protocol in data.protocols:
        metric = stated(data, protocol).headline_among(metrics(data, protocol))
        chosen += [measure(data, protocol, metric)] if metric else []
    return sorted(chosen, key=lambda m: (stated(data, m.protocol).estimates, not statement(m.protocol).leads))


def best(run: Run, shown: Measure) -> Score | None:
    """The run's best layer. It is chosen on the test samples, as in the literature, which flatters it a little."""
    found = [s for s in run.scores(shown.protocol, shown.metric) if s.layer not in BASELINES and math.isfinite(s.value)]
    return max(found, key=lambda score: score.value, default=None)


def last(run: Run, shown: Measure) -> Score | None:
    """The run's last layer."""
    found = [score for score in run.scores(shown.protocol, shown.metric) if score.layer not in BASELINES]
    return found[-1] if found and math.isfinite(found[-1].value) else None


def layers_of(run: Run, shown: Measure) -> tuple[str, ...]:
    """The layers of a run that a measure has been taken at, first to last; () where it has not been."""
    return tuple(dict.fromkeys(score.layer for score in run.scores(shown.protocol, shown.metric)))


def axes(data: DataSet, shown: Measure) -> list[tuple[str, ...]]:
    """`layers_of` all runs, each once: as many as there are kinds of encoders."""
    return [found for found in dict.fromkeys(layers_of(run, shown) for run in data.runs) if found]


def layers(data: DataSet, shown: Measure) -> list[str]:
    """The layers that a measure has been taken at, first to last.

    Of several encoders those of one after those of another, and at the end what runs end with, such as `pooled`.
    """
    found = axes(data, shown)
    ends = {names[-1] for names in found}
    return sorted(dict.fromkeys(layer for names in found for layer in names), key=lambda layer: layer in ends)


def several_layers(data: DataSet, shown: Measure) -> bool:
    """Whether a measure has been taken at several layers of the runs; rows that are no layer of a run do not count."""
    return len(set(layers(data, shown)) - set(BASELINES)) > 1


def difference(before: Score, after: Score) -> tuple[float, float, float]:
    """after − before with its 95 % interval: (value, low, high).

    Square-and-add (Newcombe, Statistics in Medicine 17, 1998, method 10): the two sides' distances to their own
    limits, as if independent. Both are measured on the same test samples, so the true interval is narrower.
    """
    value = after.value - before.value
    down = math.hypot(after.value - after.low, before.high - before.value)
    up = math.hypot(after.high - after.value, before.value - before.low)
    return value, value - down, value + up


def gains(data: DataSet, shown: Measure, at_last: bool = False) -> list[Gain]:
    """What each refit of a fresh network added to its source at the best (or the last) layer of each."""
    pick = last if at_last else best
    found = []
    for source in data.runs:
        for refit in data.refits(source):
            before, after = pick(source, shown), pick(refit, shown)
            if before and after and not refit.continued:
                found.append(Gain(source, refit, *difference(before, after)))
    return found


def lines(data: DataSet) -> Iterator[tuple[Run, Run | None, bool]]:
    """Every pretrained run with each of its refits, the refits of refits among them."""
    for run in data.runs:
        if run.source is None:
            for place, refit in enumerate(data.descendants(run) or [None]):
                yield run, refit, place == 0


def nmi(run: Run) -> float | None:
    """How much a refit's clusters tell about the classes; None without labels or without clusters."""
    value = run.cluster.get("nmi")
    return None if value is None else float(value)


def metric_name(shown: Measure) -> str:
    """ "linear top-1"."""
    words = statement(shown.protocol).words
    metric = words.get(shown.metric) or re.sub(r"^top[-_]?([0-9]+)", r"top-\1", shown.metric).replace("_", " ")
    name = label(shown.protocol)
    return name if name.endswith(f" {metric}") else f"{name} {metric}"


def label(protocol: str) -> str:
    """The title of a protocol, or the name of a target, as a reader knows it."""
    return statement(protocol).title


def flatten(block: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested settings as ("a.b", value)."""
    if isinstance(block, dict) and block:
        for key, value in block.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, block
