"""Errors for data or an encoder that a method or a protocol cannot be applied to: a finding, and no mistake."""

from __future__ import annotations


class DoesNotApply(ValueError):
    """A method or a protocol cannot be applied to these data or this encoder. The text says what is lacking."""


class NeedsTruth(DoesNotApply):
    """A protocol needs annotations (boxes, keypoints, ...) that the data do not have."""


class NeedsLabels(NeedsTruth):
    """A method or a protocol learns from labels, and the data have none."""


class NeedsSamples(DoesNotApply):
    """The data have too few samples, in all or of a class, or too small ones."""


class Collapsed(DoesNotApply):
    """The encoder gives the same features for all samples."""
