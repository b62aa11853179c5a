"""Stage `clusterfit`: a fresh encoder trained on the cluster ids as its labels (Yan et al. 2020, arXiv:1912.03330).

Or, as a control, on the soft outputs of its source: `method: distillation`. Or the source's encoder trained on, by any
method: `outputs: weights`.
"""

from __future__ import annotations

from ssl_models.errors import NeedsLabels, NeedsParts, NeedsSamples
from tasks.artifacts.clusters import Clusters
from tasks.artifacts.dataset import Stored
from tasks.settings.refits import continues, method_of
from tasks.stage.context import Context, NotApplicable, Result
from tasks.training.train import train_encoder


def clusterfit(context: Context, run: str) -> Result:
    """data, clusters -> runs/<data>/<run>/encoder, metrics/<data>/<run>/training.{json,csv}.

    Raises:
        NotApplicable: it goes on with its source's weights by a method that these data lack something for.
    """
    block = context.parameters["clusterfit"][run]
    method, found = method_of(block), Clusters(context.places.clusters(run))
    if not continues(block):
        return train_encoder(context, run, method, block, labels=found.assignments, targets=found.targets)
    labels = Stored(context.places.dataset).labels_or_none("train")
    try:
        return train_encoder(context, run, method, block, labels=labels, start=found.folder)
    except (NeedsLabels, NeedsParts, NeedsSamples) as error:
        raise NotApplicable(str(error)) from error
