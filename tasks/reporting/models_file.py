"""The models of a report, named for DVC: results/dvc.yaml, where its model registry finds each encoder under a name.

The pipeline's own dvc.yaml cannot name them. DVC fills in parameters in `artifacts`, in names too, but knows no
`foreach` there (treeverse/dvc#8696), and no parameter says which run leads. A file beside the results can, as DVCLive
writes one beside its own; it has no stages, and each path in it is an output of the pipeline.
"""

from __future__ import annotations

from typing import Any

import yaml

from tasks.project.paths import MODELS, Places
from tasks.project.project import Project
from tasks.reporting.ranking import winner
from tasks.reporting.tables import DataSet
from tasks.reporting.verdict import verdict

CHAMPION = "champion"
GAPS = {"absent", "not_applicable"}
"""What the record of a training holds instead of numbers where there is no encoder."""
HEAD = """# Written by `covey run report`: the models of the last report, for DVC's model registry.
# `gto register results:NAME` sets a tag of git, with which `dvc artifacts get REPOSITORY results:NAME` fetches a model.
"""


def text(project: Project, datasets: list[DataSet]) -> str:
    """YAML with an artifact for each run that has an encoder, as `photos-simclr`; `photos-champion` is the winner."""
    artifacts: dict[str, dict[str, Any]] = {}
    for data in datasets:
        places = Places(project.root, data.name)
        runs = [run.name for run in data.runs if run.training and not GAPS & run.training.keys()]
        for run in runs:
            artifacts[f"{data.name}-{run}"] = _artifact(project, places, run, f"The encoder of the run {run}.", [run])
        best = winner(data)
        if best and best.name in runs:
            artifacts[f"{data.name}-{CHAMPION}"] = _artifact(
                project, places, best.name, verdict(data)[0], [CHAMPION, best.name]
            )
    return HEAD + yaml.safe_dump({"artifacts": artifacts}, sort_keys=False, allow_unicode=True, width=1000)


def _artifact(project: Project, places: Places, run: str, description: str, labels: list[str]) -> dict[str, Any]:
    path = places.encoder(run).relative_to(project.root).as_posix()
    return {"path": f"{'../' * MODELS.count('/')}{path}", "type": "model", "desc": description, "labels": labels}
