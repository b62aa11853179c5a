"""Errors for data that lack what a method or a protocol needs."""

from __future__ import annotations


class NeedsTruth(ValueError):
    """A protocol needs annotations (boxes, keypoints, ...) that the data do not have."""


class NeedsLabels(NeedsTruth):
    """A method or a protocol learns from labels, and the data have none."""
