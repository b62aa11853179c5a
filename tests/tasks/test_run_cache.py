"""The pipeline and the run cache of other parameters than those of params.yaml."""

from __future__ import annotations

import yaml

from tasks.staleness import pipeline
from tests.tasks.conftest import ROOT


def test_the_graph_of_the_parameters_in_the_file_is_the_project_s_own():
    """Every block of params.yaml has its stages, targets among them."""
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    found, own = pipeline.under(ROOT, parameters), pipeline.resolved(ROOT)
    assert found == {name: stage for name, stage in own.items() if name != "code"}
