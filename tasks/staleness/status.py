"""What is stale: DVC's answer, asked only about stages of which something has been touched since the last."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any

from tasks.process.command import command_environment
from tasks.project.project import Project
from tasks.staleness import code_hash, dvc_errors, dvc_internals, lock_file, unchanged
from tasks.staleness.graph import CODE_STAGE, Graph
from tasks.staleness.reproduce import reproduce


def stale(
    project: Project,
    stages: Graph,
    names: Collection[str],
    *,
    bring_code: Callable[[Project], Any] | None = lambda project: reproduce(project, CODE_STAGE),
) -> dict[str, list[str]]:
    """Stage -> why DVC holds it for changed, for those of the named stages: "params.yaml pretrain.rotation.epochs ...".

    Where code has changed, code.json is brought up to date first (`bring_code`): only then does DVC know whom that
    concerns. bring_code: None leaves code.json as it is and remembers nothing of the code. What code has changed is not
    in the answer then.

    Raises:
        PipelineError: DVC cannot work here. ParameterError: dvc.yaml or params.yaml cannot be used.
    """
    known = unchanged.remembered(project)
    if CODE_STAGE in stages and bring_code is not None:
        known[CODE_STAGE] = _current_code(project, known.get(CODE_STAGE), bring_code)
    looker = unchanged.Looker(project, code_hash.read(project.root))
    signatures = {name: looker.signature(stages[name]) for name in names if name != CODE_STAGE}
    asked = [name for name, text in signatures.items() if text is None or known.get(name) != text]
    answer = dvc_errors.readable(lambda: _ask(project, asked)) if asked else {}
    found = {name: _reasons(changes) for name, changes in answer.items()}
    unchanged.remember(project, known, {name: signatures[name] for name in asked if name not in found}, found)
    return found


def _current_code(project: Project, known: str | None, bring_code: Callable[[Project], Any]) -> str:
    """Brings code.json up to date where the code has changed; the signature of the sources that it agrees with."""
    seen = unchanged.of_sources(project)  # of a large data set it takes seconds
    if seen == known or code_hash.read(project.root) == code_hash.fingerprints(project.root, project.parameters):
        return seen
    bring_code(project)
    return unchanged.of_sources(project)


def _ask(project: Project, names: Collection[str]) -> dict[str, list[Any]]:
    if dvc_internals.usable():
        try:
            return dvc_internals.status(project.root, names)
        except lock_file.OddLockFile:
            pass
    return _by_command(project, names)


def _by_command(project: Project, names: Collection[str]) -> dict[str, list[Any]]:
    """The same by DVC's public command, which reads dvc.lock whole."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", "--json", *names]
    done = subprocess.run(
        command, cwd=project.root, env=command_environment({}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise dvc_errors.as_words(done.stderr.strip().removeprefix("ERROR: "))
    return {name.rpartition(":")[2]: changes for name, changes in json.loads(done.stdout or "{}").items()}


def _reasons(changes: Iterable[Any]) -> list[str]:
    found = []
    for change in changes:
        if isinstance(change, str):
            found.append(change)
            continue
        for paths in change.values():
            for path, how in paths.items():
                if isinstance(how, dict):
                    found.extend(f"{path} {key} {state}" for key, state in how.items())
                else:
                    found.append(f"{path} {how}")
    return found
