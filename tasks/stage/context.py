"""What a stage's work is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.project.paths import Places
    from tasks.project.project import Project
    from tasks.tracking.stage_run import StageRun


class NotApplicable(Exception):
    """A stage has nothing to do on these data; the text says why. Its outputs say so too, and so do its descendants."""


@dataclass(frozen=True)
class Context:
    """What a stage's work is given: the project, the stage's name, its work folder, and its record in MLflow."""

    project: Project
    stage: str
    work: Path
    record: StageRun

    @property
    def parameters(self) -> dict[str, Any]:
        return self.project.parameters

    @property
    def places(self) -> Places:
        return self.project.places


@dataclass(frozen=True)
class Result:
    """What a stage wants remembered.

    Attributes:
        summary: numbers that follow from its inputs.
        costs: seconds, rates and bytes, which another run of the same would not repeat: no output of DVC holds them.
        artifacts: files for the record.
        encoder: the encoder it made, by the name it is registered under, and its folder.
    """

    summary: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    artifacts: list[Path] = field(default_factory=list)
    encoder: tuple[str, Path] | None = None


Work = Callable[..., Result]
