"""The trials of a search: what to try next, by Optuna, and what came of it, in a journal that outlives any kill.

Optuna: Akiba et al., KDD 2019. Its sampler tpe, the tree-structured Parzen estimator: Bergstra et al., NeurIPS 2011.
Its dashboard reads the journal.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import points, results, search
from tasks.sweeps.points import Point
from tasks.sweeps.results import Mean, Record
from tasks.sweeps.settings import Sweep

if TYPE_CHECKING:
    import optuna

BY_CHANCE = 6
"""So many trials come before tpe looks at what they found; Optuna's own 10 are half of a search of 20."""
DIGITS = 6
"""Significant digits of a number drawn, so that a setting reads the same wherever it is written."""
RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True)
class Trial:
    """One combination of settings; `value` is the metric's mean over the seeds, of a trial that is done."""

    number: int
    settings: Mapping[str, Any]
    state: str
    value: float | None = None


class SearchStudy:
    """The trials of a sweep's search, in a journal that outlives any kill.

    Its name holds a hash of the block without `trials`, of the metric and of what the ends of the space would make: so
    more trials go on with it, and another space, metric, base or code starts anew, with the same first settings.

    Args:
        reading: leave the journal alone, as another process may be writing to it.

    Raises:
        ParameterError: no target depends on some setting of the space.
    """

    def __init__(self, project: Project, sweep: Sweep, *, reading: bool = False) -> None:
        self.project, self.sweep, self.search = project, sweep, search.Search(**sweep.search)
        self.distributions = {key: _distribution(content) for key, content in self.search.space.items()}
        self._study = _open(journal(project, sweep.name), self._name(), self.search.goal, reading)

    def trials(self) -> list[Trial]:
        """All trials so far, in the order in which they were asked for."""
        if self._study is None:
            return []
        names = {"RUNNING": RUNNING, "COMPLETE": DONE}
        return [
            Trial(one.number, _settings(self.search.space, one.params), names.get(one.state.name, FAILED), _value(one))
            for one in self._study.get_trials(deepcopy=False)
        ]

    def take(self, width: int) -> list[Trial]:
        """The next trials to run: those that a process which is gone has left, then new ones up to a full round.

        A round always holds the same numbers, so a search that was stopped proposes what it would have proposed.
        """
        trials = self.trials()
        taken = [trial for trial in trials if trial.state == RUNNING]
        for number in range(len(trials), self.search.trials):
            if taken and number % width == 0:
                break
            self._ask(number)
            taken.append(self.trials()[number])
        return taken

    def points(self, trial: Trial) -> list[Point]:
        """A trial's points, one a seed. Raises ParameterError for settings that do not go together."""
        return points.points(self.project, self.sweep, [(trial.settings, seed) for seed in self.sweep.seeds])

    def mean(self, records: Sequence[Record]) -> Mean:
        """The metric's mean over a trial's records. Raises ParameterError where a point has no such number."""
        assert self.sweep.metric is not None  # `check` has seen to it
        return results.mean([results.value(record, self.sweep.metric) for record in records])

    def tell(self, trial: Trial, value: float | None) -> None:
        """Says what a trial came to; None or a number that is not finite: it failed."""
        from optuna.trial import TrialState

        assert self._study is not None
        if value is None or not math.isfinite(value):
            self._study.tell(trial.number, state=TrialState.FAIL)
        else:
            self._study.tell(trial.number, value)

    def best(self) -> list[Trial]:
        """The trials that are done, the best first; of equal settings the first."""
        found: dict[str, Trial] = {}
        for trial in self.trials():
            if trial.value is not None:
                found.setdefault(json.dumps(trial.settings, sort_keys=True), trial)
        return sorted(found.values(), key=lambda one: one.value or 0.0, reverse=self.search.goal == search.GOALS[0])

    def _ask(self, number: int) -> None:
        """Adds a trial with settings drawn on a copy in memory: it is written whole or not at all, and rounded."""
        import optuna

        assert self._study is not None
        seed = int(_hash([self.sweep.parameters["seed"], number])[:8], 16)
        draft = optuna.create_study(direction=self.search.goal, sampler=_sampler(self.search.sampler, seed))
        draft.add_trials(self._study.get_trials(deepcopy=False))
        drawn = draft.ask(self.distributions).params
        rounded = {key: _rounded(value, self.search.space[key]) for key, value in drawn.items()}
        state = optuna.trial.TrialState.RUNNING
        self._study.add_trial(optuna.trial.create_trial(state=state, params=rounded, distributions=self.distributions))

    def _name(self) -> str:
        asked = [self.search.space, self.search.sampler, self.search.goal]
        combinations = [(settings, seed) for settings in search.ends(self.search.space) for seed in self.sweep.seeds]
        made = [point.key for point in points.points(self.project, self.sweep, combinations)]
        return f"{self.sweep.name}-{_hash([asked, str(self.sweep.metric), made])[:12]}"


def journal(project: Project, name: str) -> Path:
    """Where the trials of a sweep lie."""
    return project.state / "sweeps" / "searches" / f"{name}.log"


def _open(path: Path, name: str, goal: str, reading: bool) -> optuna.Study | None:
    """The study of that name; None where there is none and nothing may be written."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if reading and not path.exists():
        return None
    if not reading:
        _mend(path)
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
    except ValueError as error:
        raise ParameterError(f"{path} is damaged ({error}); remove it: no point that was run is run again.") from None
    if reading and name not in optuna.get_all_study_names(storage):
        return None
    if reading:
        return optuna.load_study(study_name=name, storage=storage)
    return optuna.create_study(study_name=name, storage=storage, direction=goal, load_if_exists=True)


def _mend(path: Path) -> None:
    """Takes away what a kill may have left: Optuna's lock, for which it would wait 30 s, and half a last line, to which
    it would append. The caller holds the lock of all of Covey's runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _distribution(content: Any) -> Any:
    """Optuna's own form of a range or a list; of a list the values as JSON, since to Optuna 1 and true are equal."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(content, list):
        return CategoricalDistribution([json.dumps(value) for value in content])
    kind = IntDistribution if _whole(content) else FloatDistribution
    return kind(content["low"], content["high"], log=content.get("log", False))


def _whole(content: Mapping[str, Any]) -> bool:
    return isinstance(content["low"], int) and isinstance(content["high"], int)


def _sampler(name: str, seed: int) -> Any:
    """A sampler for one trial: a seed for each, since one for all would start again at every call of `covey sweep`."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import RandomSampler, TPESampler

    if name == "random":
        return RandomSampler(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(n_startup_trials=BY_CHANCE, seed=seed, multivariate=True, constant_liar=True)


def _rounded(value: Any, content: Any) -> Any:
    if not isinstance(value, float):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), float(content["low"])), float(content["high"]))


def _settings(space: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Values in the order of the file, those of lists as they stand there."""
    return {key: json.loads(params[key]) if isinstance(own, list) else params[key] for key, own in space.items()}


def _value(trial: optuna.trial.FrozenTrial) -> float | None:
    return trial.value if trial.state.name == "COMPLETE" else None


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
