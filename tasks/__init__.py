"""The stages of the pipeline, a module each, and below them the rooms of what they are made with."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Moved(ModuleType):
    """Stands for tasks/tracking/registry.py under its old name, by which registered models ask for their loader."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("tasks.tracking.registry"), name)


sys.modules.setdefault("tasks.registry", _Moved("tasks.registry"))
