"""Stage `clusterfit`: a fresh encoder trained on the cluster ids as its labels (Yan et al. 2020, arXiv:1912.03330).

Or, as a control, on the soft outputs of its source: `method: distillation`.
"""

from __future__ import annotations

from tasks.artifacts.clusters import Clusters
from tasks.settings.refits import method_of
from tasks.stage.context import Context, Result
from tasks.training.train import train_encoder


def clusterfit(context: Context, run: str) -> Result:
    """data, clusters -> runs/<data>/<run>/encoder, metrics/<data>/<run>/training.{json,csv}."""
    block = context.parameters["clusterfit"][run]
    found = Clusters(context.places.clusters(run))
    return train_encoder(context, run, method_of(block), block, labels=found.assignments, targets=found.targets)
