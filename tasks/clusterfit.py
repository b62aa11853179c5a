"""Stage `clusterfit`: a fresh encoder trained on the cluster ids as its labels (Yan et al. 2020, arXiv:1912.03330).

Or, as a control, on the soft outputs of its source: `method: distillation`.
"""

from __future__ import annotations

import numpy

from tasks.settings.params import REFIT
from tasks.stage.run import Context, Result
from tasks.training.train import train_encoder


def clusterfit(context: Context, run: str) -> Result:
    """data, clusters -> runs/<data>/<run>/encoder, metrics/<data>/<run>/training.{json,csv}."""
    block = context.parameters["clusterfit"][run]
    folder = context.store.clusters(run)
    targets = folder / "targets.npy"
    return train_encoder(
        context,
        run,
        block.get("method", REFIT),
        block,
        labels=numpy.load(folder / "assignments.npy"),
        targets=numpy.load(targets) if targets.exists() else None,
    )
