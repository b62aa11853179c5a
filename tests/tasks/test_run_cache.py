"""DVC's run cache, whose keys hold all settings, and the pipeline of other parameters than those of params.yaml."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from tasks.process.parent_death import PATCHED
from tasks.staleness import dvc_internals, pipeline
from tests.tasks.conftest import ROOT


def test_the_graph_of_the_parameters_in_the_file_is_the_project_s_own():
    """Every block of params.yaml has its stages, targets among them."""
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    found, own = pipeline.under(ROOT, parameters), pipeline.resolved(ROOT)
    assert found == {name: stage for name, stage in own.items() if name != "code"}


@pytest.mark.parametrize("by_command", [False, True])
def test_a_setting_called_size_is_part_of_what_is_restored(tmp_path, monkeypatch, by_command):
    """DVC leaves the word out of its run cache's keys, wherever it stands."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    stage = {"cmd": "cp params.yaml out.txt", "params": ["data"], "outs": ["out.txt"]}
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"prepare": stage}}))
    monkeypatch.chdir(root)
    outcomes = []

    def carried_out(words, environment):
        return subprocess.run(words, shell=True, cwd=root, env=environment, check=False).returncode

    for size in (32, 48, 32):
        (root / "params.yaml").write_text(json.dumps({"data": {"size": size}}))
        if by_command:
            subprocess.run(
                [sys.executable, "-m", PATCHED, "repro", "-q"], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
        else:
            outcomes.append(dvc_internals.reproduce(root, "prepare", force=False, run=carried_out))
        assert json.loads((root / "out.txt").read_text()) == {"data": {"size": size}}
    assert outcomes in ([], ["ran", "ran", "restored"])
