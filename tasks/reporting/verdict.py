"""What the numbers say, in sentences: every claim with its interval, and no claim that the interval does not carry."""

from __future__ import annotations

from statistics import median

from ssl_models.protocols._common.score import Score
from tasks.reporting.imprint import NOT_APPLICABLE, lacking
from tasks.reporting.ranking import floor, passes, ranking
from tasks.reporting.runs import SUPERVISED, Run
from tasks.reporting.tables import DataSet, Measure, best, difference, gains, label, metric_name, several_layers, stated


def verdict(data: DataSet) -> list[str]:
    """The answer in one sentence (who transfers best, how far from ceiling and floor), then what qualifies it."""
    ranked = ranking(data)
    if not ranked:
        return [f"On {data.name}, no representation could be scored: {unscored(data)}.", *_collapsed(data)]
    first, top, shown = ranked[0]
    others = [(run, score) for run, score, _ in ranked[1:]]
    return [
        _answer(data, first, top, shown, [score for _, score in others]),
        *_rule(data, shown),
        *_elsewhere(data, first),
        *_budget(data, first),
        *_rivals(data, shown, top, others),
        *_clusterfit(data, shown),
        *_collapsed(data),
    ]


def _answer(data: DataSet, first: Run, top: Score, shown: Measure, others: list[Score]) -> str:
    """Who leads and by how much; or that no representation passes the untrained floor, and how far the best one got."""
    where = f" at {top.layer}" if several_layers(data, shown) else ""
    reached = f"{shown.number(top.value)}{shown.unit} ({shown.interval(top.low, top.high)}) {metric_name(shown)}{where}"
    ceiling, level = _against(data, shown, top, "supervised"), floor(data, shown)
    if level is not None and not passes(data, top, shown):
        beyond = " beyond the interval" if top.value > level.value else ""
        none = f"no representation passes the untrained floor ({shown.number(level.value)}){beyond}"
        best_of = f"the best of them, {first.name}," if others else f"the only one, {first.name},"
        return f"On {data.name}, {none}: {best_of} reaches {reached}{ceiling}."
    close = sum(difference(score, top)[1] <= 0 for score in others)
    leads = "ranks first" if stated(data, shown.protocol).estimates else "transfers best"
    alike = f"leads, not told apart from {close} other{'s' if close > 1 else ''}" if close else leads
    alike = alike if others else "is the only representation with a score"
    above = _against(data, shown, top, "untrained")
    above = above if ceiling else above.replace(" and ", ", ", 1)
    return f"On {data.name}, {first.name} {alike}: {reached}{ceiling}{above}."


def _rule(data: DataSet, shown: Measure) -> list[str]:
    """By which rule runs are ranked where a measure without labels ranks them, and why that one."""
    if not stated(data, shown.protocol).estimates:
        return []
    others = [name for name in data.protocols if stated(data, name).headline and not stated(data, name).estimates]
    if data.prepare.get("labelled") is False:
        why = "There are no labels"
    elif others:
        why = f"No representation has a score of {', '.join(map(label, others))}"
    else:
        why = "No protocol that measures by labels was selected"
    return [
        f"{why}, so the rule is: the higher the {metric_name(shown)}, the better. It is an estimate of how well a "
        "representation transfers, and no measurement of it."
    ]


def _collapsed(data: DataSet) -> list[str]:
    """A sentence that names the runs whose representation had collapsed when their training ended."""
    found = [(run.name, run.training.get("collapsed")) for run in data.runs]
    named = [f"{name} (epoch {epoch:.0f})" for name, epoch in found if epoch]
    return [f"Collapsed while training: {', '.join(named)}."] if named else []


def _elsewhere(data: DataSet, winner: Run) -> list[str]:
    """A sentence where the winner's weights come from elsewhere, or those of a run that it learnt from."""
    lineage = data.lineage(winner)
    place = next((place for place, run in enumerate(lineage) if run.from_elsewhere), None)
    if place is None:
        return []
    later, first = lineage[:place], lineage[place]
    learnt = any(not run.continued for run in later)  # by a fresh network
    trained = not first.taken or (bool(later) and later[-1].continued)
    whose = "It learnt from a network whose " if learnt else "Its "
    how = "training began with weights" if trained else "weights come"
    return [
        f"{whose}{how} from elsewhere: what these have seen, labels or these very samples among it, is not known here."
    ]


def _budget(data: DataSet, winner: Run) -> list[str]:
    """A sentence where the winner was shown more samples than is usual here."""
    seen = [run.training.get("samples_seen") for run in data.runs if run.ranked]
    usual, own = median(count for count in seen if count) if any(seen) else 0, winner.training.get("samples_seen")
    if not usual or not own or own <= 1.1 * usual:
        return []
    return [f"It was shown {own / usual:.1f} times as many samples as most others."]


def _against(data: DataSet, shown: Measure, top: Score, role: str) -> str:
    """How far the winner is from a control, its own best layer against the control's.

    Nothing of a supervised control where there are no labels to train one with.
    """
    scored = [best(run, shown) for run in data.runs if run.role == role and run.source is None]
    control = max((score for score in scored if score), key=lambda score: score.value, default=None)
    if control is None and role == SUPERVISED and data.prepare.get("labelled") is False:
        return ""
    if control is None:
        return f"; there is no {role} control to compare with"
    value, low, high = difference(control, top)
    points = " points" if shown.share else ""
    distance = f"{shown.number(abs(value))}{points} {'above' if value >= 0 else 'below'}"
    name = {"supervised": "the supervised ceiling", "untrained": "the untrained floor"}[role]
    within = ", within the interval" if low <= 0 <= high else ""
    found = f"{distance} {name} ({shown.number(control.value)}{within})"
    return f"{', ' if role == 'supervised' else ' and '}{found}"


def _rivals(data: DataSet, shown: Measure, top: Score, others: list[tuple[Run, Score]]) -> list[str]:
    """Who cannot be told from the winner, and how many do no better than no training."""
    close = [run.name for run, score in others if difference(score, top)[1] <= 0]
    sentences = []
    unscored_runs = [run.name for run in data.runs if run.ranked and not best(run, shown)]
    if unscored_runs:
        sentences.append(f"Without a {metric_name(shown)} score, so not compared: {', '.join(unscored_runs)}.")
    if others:
        names = ", ".join(close[:4]) + (f" and {len(close) - 4} more" if len(close) > 4 else "")
        second, score = others[0]
        alone = f"The lead is beyond the interval of every rival (next: {second.name}, {shown.number(score.value)})."
        sentences.append(f"Within the interval of the lead, so not told apart from it: {names}." if close else alone)
    if floor(data, shown) is not None and passes(data, top, shown):
        beaten = sum(passes(data, score, shown) for score in [top, *(s for _, s in others)])
        sentences.append(f"{beaten} of {len(others) + 1} representations pass the untrained floor beyond the interval.")
    return sentences


def _clusterfit(data: DataSet, shown: Measure) -> list[str]:
    """What ClusterFit added on average. Mean of the limits: the widest that the mean's interval can be."""
    found = [gain for gain in gains(data, shown) if gain.source.ranked]
    if not found:
        return []
    count = {word: sum(gain.verdict == word for gain in found) for word in ("gain", "loss", "within")}
    mean, low, high = (
        sum(values) / len(found) for values in zip(*((g.value, g.low, g.high) for g in found), strict=True)
    )
    points = " points" if shown.share else ""
    honest = "within the interval" if low <= 0 <= high else "beyond the interval"
    return [
        f"ClusterFit added {shown.number(mean, sign=True)}{points} on average over {len(found)} "
        f"refit{'s' if len(found) > 1 else ''} at the best layer, {honest} ({shown.interval(low, high, sign=True)}): "
        f"{count['gain']} gained and {count['loss']} lost beyond their intervals, {count['within']} stayed within."
    ]


def unscored(data: DataSet) -> str:
    """Why a data set has no scores: the reasons that its protocols have, each once."""
    reasons = {
        (protocol, *lacking(record)) for run in data.runs for protocol, record in run.protocols.items() if record
    }
    told = {
        ("" if lacks == NOT_APPLICABLE else f"{lacks}: ") + why.removeprefix(f"{protocol}: ").rstrip(".")
        for protocol, lacks, why in reasons
        if lacks
    }
    return "; ".join(sorted(told)) or "no protocol has left a score yet"
