"""Stage `pretrain`: an encoder trained by one method; `random` is saved as it was initialised."""

from __future__ import annotations

from ssl_models.errors import NeedsLabels, NeedsParts, NeedsSamples
from tasks.artifacts.dataset import Stored
from tasks.stage.context import Context, NotApplicable, Result
from tasks.training.train import train_encoder


def pretrain(context: Context, run: str) -> Result:
    """data -> runs/<data>/<run>/encoder, metrics/<data>/<run>/training.{json,csv}."""
    block = context.parameters["pretrain"][run]
    labels = Stored(context.places.dataset).labels_or_none("train")
    try:
        return train_encoder(context, run, block["method"], block, labels=labels)
    except (NeedsLabels, NeedsParts, NeedsSamples) as error:
        raise NotApplicable(str(error)) from error
