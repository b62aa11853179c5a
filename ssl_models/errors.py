"""What a method or a protocol may lack."""

from __future__ import annotations


class NeedsTruth(ValueError):
    """A protocol measures against annotations (boxes, keypoints, ...) that the data do not have."""


class NeedsLabels(NeedsTruth):
    """A method or a protocol that learns from labels was given data that have none."""
