"""The settings of the block `machine` of params.yaml: what stages take from the machine."""

from __future__ import annotations

from tasks.settings.schema import Field

MACHINE = {
    "threads": Field("int", True),
    "precision": Field("str", True),
    **dict.fromkeys(("processes", "chunk"), Field("int", False)),
    **dict.fromkeys(("channels_last", "compile"), Field("bool | str", False)),
}
"""threads: of each stage. precision: of `ssl_models.hardware.PRECISIONS`. processes: of each training, a GPU each where
there are any. chunk: rows that an encoder takes at once in a training, see ssl_models/chunks.py; 0, the default: all.
channels_last, compile: on, off or auto, see `ssl_models.hardware.resolve_channels_last` and ssl_models/compiling.py."""
