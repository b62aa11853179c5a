"""What to change where a stage needs more memory than there is, with the settings that it has now."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.settings.schema import CODE, source

FEWER = "run fewer stages at once (`covey run --jobs 1`)"
CHUNK = 64
"""Rows: what `machine.chunk` is suggested to be where a batch is larger."""


def advice(parameters: Mapping[str, Any], stage: str, *, on_gpu: bool = False) -> str:
    """Words such as "run fewer stages at once (`covey run --jobs 1`), or lower ... (now 256) in params.yaml".

    on_gpu: it was the memory of a GPU, which a stage has to itself.
    """
    kind, _, names = stage.partition("@")
    run, _, protocol = names.partition("-")
    if kind in ("pretrain", "clusterfit"):
        ways = _of_training(parameters, f"{kind}.{run}", (parameters.get(kind) or {}).get(run) or {})
    elif kind.startswith("extract"):
        ways = _lower("extract", parameters.get("extract") or {}, CODE / "extraction.py", "extract_features")
    elif protocol:
        ways = _of_protocol(parameters, protocol)
    else:
        ways = []
    changes = f"{' or '.join(ways)} in params.yaml" if ways else ""
    if on_gpu:
        return changes or "end what else uses this GPU"
    return f"{FEWER}, or {changes}" if changes else FEWER


def _of_training(parameters: Mapping[str, Any], where: str, own: Mapping[str, Any]) -> list[str]:
    """A smaller batch, or the same batch in smaller chunks."""
    batch = own.get("batch_size", (parameters.get("training") or {}).get("batch_size"))
    chunk = (parameters.get("machine") or {}).get("chunk", 0)
    key = f"{where}.batch_size" if "batch_size" in own else "training.batch_size"
    less = f"lower {key} (now {batch})" if isinstance(batch, int) else f"give {key} a number (now {batch})"
    if chunk:
        return [f"lower machine.chunk (now {chunk})", less]
    smaller = min(CHUNK, max(1, batch // 4)) if isinstance(batch, int) else CHUNK
    return [f"set machine.chunk: {smaller}, which keeps the batch whole", less]


def _of_protocol(parameters: Mapping[str, Any], name: str) -> list[str]:
    block = "targets" if name in (parameters.get("targets") or {}) else "transfer"
    own = (parameters.get(block) or {}).get(name) or {}
    return _lower(f"{block}.{name}", own, CODE / "protocols" / f"{own.get('protocol', name)}.py", "evaluate")


def _lower(where: str, block: Mapping[str, Any], path: Path, function: str) -> list[str]:
    """The batch of a function, by its setting or its default; nothing where it has no such setting."""
    now = block.get("batch_size", _default(path, function)) if path.is_file() else None
    return [] if now is None else [f"lower {where}.batch_size (now {now})"]


def _default(path: Path, function: str) -> Any:
    """What a function's keyword `batch_size` is where nobody sets it; None where it has none."""
    for node in ast.parse(source(path)).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg == "batch_size" and isinstance(default, ast.Constant):
                    return default.value
    return None
