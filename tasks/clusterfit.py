"""Stage `clusterfit`: a fresh encoder trained on the cluster ids as its labels (Yan et al. 2020, arXiv:1912.03330)."""

from __future__ import annotations

import numpy

from tasks.stage import Context, Result
from tasks.training import train_encoder


def clusterfit(context: Context, run: str) -> Result:
    """data, clusters -> runs/<data>/<run>/encoder, metrics/<data>/<run>/training.{json,csv}."""
    block = context.parameters["clusterfit"][run]
    assignments = numpy.load(context.store.clusters(run) / "assignments.npy")
    return train_encoder(context, run, "supervised", block, assignments)
