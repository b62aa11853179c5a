"""What the fork server does once for all stages: their modules are imported, and settings and sources are read.

What is read is remembered by its text (or by a file's state), so a stage that finds another text reads that.
"""

from __future__ import annotations

import compileall
from importlib import import_module
from pathlib import Path

from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings.encoders import encoders
from tasks.settings.refits import method_of
from tasks.staleness import code_hash, dvc_internals
from tasks.staleness.graph import CODE_STAGE

STAGES = ("prepare", "pretrain", "extract", "cluster", "clusterfit", "transfer", "atlas", "report")


def up(project: Project) -> None:
    """Imports and reads what the selected stages need."""
    for folder in ("tasks", "ssl_models"):
        compileall.compile_dir(project.root / folder, quiet=2)
    for name in STAGES:
        import_module(f"tasks.{name}")
    for name in ("run", "restored", "dispatch"):
        import_module(f"tasks.stage.{name}")
    parameters = project.parameters
    for name in _named(project):
        if Path(f"{name.replace('.', '/')}.py").is_file():
            import_module(name)
    code_hash.fingerprints(project.root, parameters)
    if dvc_internals.usable():
        dvc_internals.resolve(project.root, [CODE_STAGE])


def _named(project: Project) -> list[str]:
    """The modules that params.yaml names for what is selected; detection's bring torchvision, which takes seconds."""
    parameters = scope.narrowed(project.parameters)
    blocks = [*parameters["pretrain"].values(), *parameters["clusterfit"].values()]
    methods = {method_of(block) for block in blocks}
    protocols = set(parameters["transfer"])
    return [
        *(f"ssl_models.encoders.{name}" for name in sorted({own["name"] for own in encoders(parameters).values()})),
        *(f"ssl_models.methods.{name}" for name in sorted(methods)),
        *(f"ssl_models.protocols.{name}" for name in sorted(protocols)),
    ]
