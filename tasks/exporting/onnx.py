"""For ONNX: the computation itself, from a batch as it is given to the encoder to its vectors, in float32."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.exporting.form import Loading, Sample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ssl_models.encoders.encoder import Encoder

LIBRARY = "onnx"
ENCODERS: tuple[str, ...] = ()
MODEL = "model.onnx"
OPSET = 18
"""The first whose Resize antialiases."""
TRACED = 3
"""Samples that the computation is traced with; neither 0 nor 1, which torch.export takes for constants."""


def refusal(encoder: str, settings: Mapping[str, Any]) -> str:  # noqa: ARG001
    """ "": every encoder has this form."""
    return ""


def write(encoder: Encoder, sample: Sample, source: Path, folder: Path) -> Loading:  # noqa: ARG001
    """Writes model.onnx, whose batch axis is free and whose other axes are those of `sample`."""
    import onnx
    import torch

    shape = (TRACED, *sample.shape)
    example = torch.ones(shape, dtype=torch.int64) if sample.part == "tokens" else torch.rand(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about itself
        program = torch.export.export(
            _vectors_of(encoder, sample),
            (example,),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            strict=sample.part == "sound",  # else the length of a batch, as len() gives it, is taken for a constant
        )
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[sample.given],
            output_names=["vectors"],
            opset_version=OPSET,
            verbose=False,
        )
    assert made is not None
    made.save(folder / MODEL)
    _forget_where(folder / MODEL)
    onnx.checker.check_model(folder / MODEL, full_check=True)
    return Loading(
        ("import onnxruntime",),
        (f'model = onnxruntime.InferenceSession("{MODEL}", providers=["CPUExecutionProvider"])',),
        (f'vectors = model.run(["vectors"], {{"{sample.given}": {sample.given}}})[0]',),
        ("onnxruntime", "numpy"),
        arrays=True,
        fixed=True,
        notes=(f"Opset {OPSET}, float32. The batch axis is free, all others are as stated.",),
    )


def _vectors_of(encoder: Encoder, sample: Sample) -> nn.Module:
    """The encoder as a module of one batch; of words without the check of their ids, which asks what they are."""
    from torch import nn

    class Vectors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, batch: Tensor) -> Tensor:
            if sample.part != "tokens":
                return self.encoder.vectors_of(batch)
            for block in self.encoder.blocks().values():
                batch = block(batch)
            return self.encoder.pool(batch)

    return Vectors().eval()


def _forget_where(path: Path) -> None:
    """Takes out what torch notes of each node: among it are files and lines of this machine."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for each in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.functions):
        del each.metadata_props[:]
        each.doc_string = ""
    onnx.save(model, path)
